"""Arithmetic of sizes and boxes that several transforms share."""

import numpy as np
from PIL import Image


def shortest_edge_size(height: int, width: int, short_side: int, long_side: int) -> tuple:
    """Size of a picture resized to a short side, unless the long one gets too long.

    Args:
        height: Height in px.
        width: Width in px.
        short_side: Wanted short side in px.
        long_side: Largest long side in px.

    Returns:
        ``(height, width)`` in px, at least 1.
    """
    scale = short_side / min(height, width)
    sides = (height * scale, width * scale)
    if height < width:
        sides = (short_side, width * scale)
    else:
        sides = (height * scale, short_side)
    if max(sides) > long_side:
        shrink = long_side / max(sides)
        sides = (sides[0] * shrink, sides[1] * shrink)
    return tuple(max(1, int(side + 0.5)) for side in sides)


def corner_boxes(height: int, width: int, ratio: float) -> np.ndarray:
    """Boxes of the four corner crops of a picture.

    Args:
        height: Height in px.
        width: Width in px.
        ratio: Side of a crop over the side of the picture; at least one px.

    Returns:
        int64 ``(4, 4)`` xyxy px: top left, top right, bottom left, bottom right.
    """
    crop_height, crop_width = (max(1, int(ratio * side)) for side in (height, width))
    return np.array(
        [
            (x, y, x + crop_width, y + crop_height)
            for y in (0, height - crop_height)
            for x in (0, width - crop_width)
        ]
    )


def resize_image(img: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 ``(H, W, 3)`` bilinearly with antialiasing, as Pillow does."""
    if img.shape[:2] == (height, width):
        return img
    # Pillow copies a part of a larger array value by value
    picture = Image.fromarray(np.ascontiguousarray(img))
    return np.asarray(picture.resize((width, height), Image.BILINEAR))
