"""Text on images."""

from functools import lru_cache
from typing import Any, Union

from PIL import ImageDraw, ImageFont


def draw_text(
    canvas: ImageDraw.ImageDraw,
    position: tuple[float, float],
    text: str,
    size: float,
    colour: str = 'black',
    **style: Any,
) -> None:
    """Write a text at a position in px, its left top corner unless ``anchor`` says otherwise.

    Args:
        canvas: Where to write.
        position: x and y in px.
        text: What to write.
        size: Height of the font in px.
        colour: Colour of the text.
        **style: As in Pillow's ``ImageDraw.text``.
    """
    canvas.text(position, text, fill=colour, font=_font(size), **style)


def text_size(text: str, size: float) -> tuple[int, int]:
    """Width and height in px that an outlined text of a size takes, of any letters."""
    left, _, right, _ = _font(size).getbbox(text, stroke_width=1)
    _, top, _, bottom = _font(size).getbbox('Ag', stroke_width=1)
    return int(right - left) + 2, int(bottom - top) + 2


@lru_cache(maxsize=16)
def _font(size: float) -> Union[ImageFont.FreeTypeFont, ImageFont.ImageFont]:
    return ImageFont.load_default(size=size)
