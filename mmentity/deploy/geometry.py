"""How low-resolution masks of the views of an image cover the image, in NumPy.

The same tables as those of :mod:`mmentity.models.fusion.geometry`, made of the same arithmetic
in float32.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Optional

import numpy as np

# low-res cells along the side of a block
BLOCK_CELLS = 10
# geometries that are kept for images of the same sizes
KEPT = 8


class Band(NamedTuple):
    """Resizing of one stretch of pixels along one axis of one view.

    Attributes:
        cells: Low-res cells that it takes.
        weights: Their weights at each pixel, float32 ``(pixels, cells)``.
    """

    cells: slice
    weights: np.ndarray


class Axis(NamedTuple):
    """The stretches that one axis of the image is cut into.

    Attributes:
        edges: Where stretches start and end, px, ascending.
        bands: For each view, the band of each stretch; None outside of the view.
    """

    edges: list[int]
    bands: list[list[Optional[Band]]]


class Blocks(NamedTuple):
    """An image cut into blocks, each of them covered by the same views everywhere."""

    rows: Axis
    columns: Axis


@lru_cache(maxsize=KEPT)
def blocks_of(
    mask_shape: tuple[int, int],
    view_boxes: tuple[tuple[int, ...], ...],
    view_shapes: tuple[tuple[int, int], ...],
    padded_shape: tuple[int, int],
    ori_shape: tuple[int, int],
) -> Blocks:
    """Cut an image into blocks; images of the same sizes only once.

    Args:
        mask_shape: Height and width of the mask logits.
        view_boxes: Box of each view in the image, xyxy px.
        view_shapes: Height and width of each view before padding, px.
        padded_shape: Height and width of the padded views, px.
        ori_shape: Height and width of the image, px.
    """
    # cells of the whole view, which make the whole image
    cells = mask_shape[0] * view_shapes[0][0] / padded_shape[0]
    side = max(1, round(BLOCK_CELLS * ori_shape[0] / cells))
    axes = []
    for axis in (0, 1):
        spans = [(box[1 - axis], box[3 - axis]) for box in view_boxes]
        valid = [shape[axis] for shape in view_shapes]
        axes.append(
            _cut_axis(spans, valid, mask_shape[axis], padded_shape[axis], ori_shape[axis], side)
        )
    return Blocks(*axes)


def _cut_axis(
    spans: Sequence[tuple[int, int]],
    valid: Sequence[int],
    low: int,
    padded: int,
    length: int,
    side: int,
) -> Axis:
    ends = {edge for span in spans for edge in span}
    edges = sorted({*range(0, length, side), *ends, length})
    bands = []
    for (start, stop), inside in zip(spans, valid):
        cells, weights = _resizing(low, padded, inside, stop - start)
        bands.append(
            [
                _band(cells[a - start : b - start], weights[a - start : b - start])
                if start <= a < stop
                else None
                for a, b in zip(edges[:-1], edges[1:])
            ]
        )
    return Axis(edges, bands)


def _band(cells: np.ndarray, weights: np.ndarray) -> Band:
    """Make one small matrix of the cells ``(pixels, 4)`` that pixels take, and their weights."""
    first, last = int(cells[0, 0]), int(cells[-1, -1])
    table = np.zeros((len(cells), last - first + 1), np.float32)
    pixels = np.arange(len(cells))
    for cell, weight in zip(cells.T, weights.T):
        # a pixel may take a cell twice, but not twice in one column
        table[pixels, cell - first] += weight
    return Band(slice(first, last + 1), table)


def _resizing(low: int, padded: int, valid: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Resizing of ``low`` cells to ``padded``, cut to ``valid``, to ``pixels``.

    Returns:
        Cells, ascending, and their weights, both ``(pixels, 4)``.
    """
    outer, outer_weight = _bilinear(valid, pixels)
    inner, inner_weight = _bilinear(low, padded)
    weights = inner_weight[outer] * outer_weight[:, :, None]
    return inner[outer].reshape(pixels, 4), weights.reshape(pixels, 4)


def _bilinear(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells and weights of bilinear resizing (align_corners=False), both ``(target, 2)``."""
    scale = np.float32(source) / np.float32(target)
    place = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    place = np.maximum(place, np.float32(0))
    low = np.minimum(place.astype(np.int64), source - 1)
    high = np.minimum(low + 1, source - 1)
    weight = place - low.astype(np.float32)
    return np.stack([low, high], axis=1), np.stack([1 - weight, weight], axis=1)
