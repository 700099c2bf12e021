"""Arithmetic of sizes and boxes that several transforms share."""

import numpy as np
from PIL import Image

# height and width in px
Size = tuple[int, int]


def shortest_edge_size(height: int, width: int, short_side: int, long_side: int) -> Size:
    """Size of an image resized to a short side, unless the long one gets too long.

    Args:
        height: Height in px.
        width: Width in px.
        short_side: Wanted short side in px.
        long_side: Largest long side in px.

    Returns:
        ``(height, width)`` in px, at least 1.
    """
    scale = short_side / min(height, width)
    new_height, new_width = height * scale, width * scale
    # exact, where a product might be off by rounding
    if height < width:
        new_height = short_side
    else:
        new_width = short_side
    longest = max(new_height, new_width)
    if longest > long_side:
        shrink = long_side / longest
        new_height, new_width = new_height * shrink, new_width * shrink
    return max(1, int(new_height + 0.5)), max(1, int(new_width + 0.5))


def longest_side_size(height: int, width: int, max_side: int) -> Size:
    """Size of an image whose long side is shrunk to ``max_side`` px, where it is longer.

    Args:
        height: Height in px.
        width: Width in px.
        max_side: Largest long side in px.

    Returns:
        ``(height, width)`` in px, at least 1.
    """
    longest = max(height, width)
    if longest <= max_side:
        return height, width
    # in integers, halves up
    height, width = ((2 * side * max_side + longest) // (2 * longest) for side in (height, width))
    return max(1, height), max(1, width)


def corner_boxes(height: int, width: int, ratio: float) -> np.ndarray:
    """Boxes of the four corner crops of an image.

    Args:
        height: Height in px.
        width: Width in px.
        ratio: Side of a crop over the side of the image; at least one px.

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
    contiguous = Image.fromarray(np.ascontiguousarray(img))
    return np.asarray(contiguous.resize((width, height), Image.Resampling.BILINEAR))
