"""Arithmetic of sizes and boxes that several transforms share."""

import numpy as np
from numpy.typing import ArrayLike
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
    """Boxes of the four corner crops of an image: the :func:`grid_boxes` of 2 x 2.

    Args:
        height: Height in px.
        width: Width in px.
        ratio: Side of a crop over the side of the image; at least one px.

    Returns:
        int64 ``(4, 4)`` xyxy px: top left, top right, bottom left, bottom right.
    """
    return grid_boxes(height, width, ratio, (2, 2))


def grid_boxes(height: int, width: int, ratio: float, grid: Size) -> np.ndarray:
    """Boxes of a grid of crops that reach from edge to edge of an image.

    Neighbours share as much of a crop, ``(2 ratio - 1) / ratio`` of its side, as those of
    2 x 2 crops of ``ratio`` do. Along an axis of one crop it is as long as the image.

    Args:
        height: Height in px.
        width: Width in px.
        ratio: Side over the side of the image that a crop of two in a row has, 0..1.
        grid: Rows and columns of crops.

    Returns:
        int64 ``(R * C, 4)`` xyxy px, row by row; a side is at least one px.

    Examples:
        >>> grid_boxes(100, 100, 0.7, (1, 3)).tolist()
        [[0, 0, 53, 100], [23, 0, 76, 100], [47, 0, 100, 100]]
    """
    rows, columns = (_stretches(side, ratio, n) for side, n in zip((height, width), grid))
    return np.array([(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns])


def _stretches(side: int, ratio: float, number: int) -> list[tuple[int, int]]:
    """Start and end of stretches that are spread evenly over a side, px."""
    if number == 1:
        return [(0, side)]
    # ratio itself for two
    length = max(1, int(ratio / ((number - 1) - (number - 2) * ratio) * side))
    starts = [k * (side - length) // (number - 1) for k in range(number)]
    return [(start, start + length) for start in starts]


def checked_boxes(boxes_xyxy_px: ArrayLike, height: int, width: int) -> np.ndarray:
    """Check boxes of an image that somebody gives.

    Args:
        boxes_xyxy_px: Integers ``(N, 4)``, right and bottom exclusive.
        height: Height of the image in px.
        width: Width of the image in px.

    Returns:
        int64 ``(N, 4)``.

    Raises:
        ValueError: If there is none, or one is not inside of the image or has no pixel.
    """
    boxes = np.asarray(boxes_xyxy_px)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) == 0:
        raise ValueError(
            f'boxes have the shape {boxes.shape}; give one or more [x0, y0, x1, y1] in px'
        )
    if not np.issubdtype(boxes.dtype, np.integer):
        raise ValueError(f'boxes are of type {boxes.dtype}; give whole numbers of px')
    x0, y0, x1, y1 = boxes.T
    wrong = (x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height) | (x0 >= x1) | (y0 >= y1)
    if wrong.any():
        number = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f'box {number} is {boxes[number].tolist()}, and the image has {height} x {width} px '
            '(height x width); a box is [x0, y0, x1, y1] with 0 <= x0 < x1 <= width and '
            '0 <= y0 < y1 <= height'
        )
    return boxes.astype(np.int64)


def resize_image(img: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 ``(H, W, 3)`` bilinearly with antialiasing, as Pillow does."""
    if img.shape[:2] == (height, width):
        return img
    # Pillow copies a part of a larger array value by value
    contiguous = Image.fromarray(np.ascontiguousarray(img))
    return np.asarray(contiguous.resize((width, height), Image.Resampling.BILINEAR))
