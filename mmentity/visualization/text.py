"""Text on images."""

from functools import lru_cache

from PIL import ImageDraw, ImageFont


def draw_text(
    canvas: ImageDraw.ImageDraw,
    position: tuple[float, float],
    text: str,
    size: float,
    colour: str = 'black',
) -> None:
    """Write a text to the right of and below a position.

    Args:
        canvas: Where to write.
        position: Left and top of the text, px.
        text: What to write.
        size: Height of the font in px.
        colour: Colour of the text.
    """
    canvas.text(position, text, fill=colour, font=_font(size))


def draw_label(
    canvas: ImageDraw.ImageDraw, position: tuple[float, float], text: str, size: float
) -> None:
    """Write an outlined text around a position, readable on any ground."""
    canvas.text(
        position,
        text,
        fill='white',
        anchor='mm',
        font=_font(size),
        stroke_width=1,
        stroke_fill='black',
    )


@lru_cache(maxsize=16)
def _font(size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)
