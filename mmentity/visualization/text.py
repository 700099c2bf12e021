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


@lru_cache(maxsize=16)
def _font(size: float) -> Union[ImageFont.FreeTypeFont, ImageFont.ImageFont]:
    return ImageFont.load_default(size=size)
