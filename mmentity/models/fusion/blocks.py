"""An image cut into blocks: bounds of the masks in each, and masks of many blocks at once.

Bilinear values are convex combinations, so the least and the greatest logit of the cells
that a block takes bound the probability of all of its pixels, up to rounding.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.fusion.geometry import Axis, Box, ViewGeometry


class Block(NamedTuple):
    """One block: its row and column among the blocks, and its box."""

    row: int
    column: int
    box: Box


class Blocks(NamedTuple):
    """An image cut into blocks, each of them covered by the same views everywhere.

    Attributes:
        rows: Edges of the rows of blocks, from 0 to the height, px.
        columns: Edges of the columns of blocks, from 0 to the width, px.
        lower: Bound below the probabilities of each mask in each block,
            float32 ``(Q, rows, columns)``.
        upper: Bound above them.
    """

    rows: list[int]
    columns: list[int]
    lower: Tensor
    upper: Tensor

    @property
    def areas(self) -> Tensor:
        """Pixels of each block, int64 ``(rows, columns)``."""
        return self._lengths(self.rows)[:, None] * self._lengths(self.columns)

    def _lengths(self, edges: Sequence[int]) -> Tensor:
        return torch.tensor(edges, device=self.lower.device).diff()

    def to_pixels(self, values: Tensor) -> Tensor:
        """Give every pixel the value of its block, ``(rows, columns)`` to ``(H0, W0)``."""
        values = values.repeat_interleave(self._lengths(self.columns), dim=1)
        return values.repeat_interleave(self._lengths(self.rows), dim=0)

    def select(self, chosen: Tensor) -> Iterator[Block]:
        """Some blocks, bool ``(rows, columns)``, one after the other."""
        for row, column in torch.nonzero(chosen).tolist():
            left, right = self.columns[column : column + 2]
            top, bottom = self.rows[row : row + 2]
            yield Block(row, column, (left, top, right, bottom))

    def box_around(self, chosen: Tensor) -> Box:
        """Box of some blocks, bool ``(rows, columns)``; all 0 for none."""
        places = torch.nonzero(chosen)
        if len(places) == 0:
            return 0, 0, 0, 0
        top, left = places.amin(dim=0).tolist()
        bottom, right = (places.amax(dim=0) + 1).tolist()
        return self.columns[left], self.rows[top], self.columns[right], self.rows[bottom]


def block_side(longest: int, values_per_pixel: int, block_values: Optional[int]) -> int:
    """Side of a block whose pixels hold so many values each, px.

    Args:
        longest: Side without a budget.
        values_per_pixel: Values that a pixel holds.
        block_values: Budget of values, or None.
    """
    if block_values is None:
        return longest
    return max(1, min(longest, math.isqrt(block_values // values_per_pixel)))


def bound_blocks(mask_logits: Tensor, geometry: ViewGeometry, side: int) -> Blocks:
    """Cut an image into blocks and bound the probabilities of masks in them.

    Args:
        mask_logits: float32 ``(Q, V, h, w)``.
        geometry: Where the views lie in the image.
        side: Longest side of a block, px.
    """
    rows = _edges(geometry.rows, geometry.height, side)
    columns = _edges(geometry.columns, geometry.width, side)
    shape = (len(rows) - 1, len(columns) - 1)
    bounds = mask_logits.new_zeros((2, len(mask_logits), *shape))
    count = mask_logits.new_zeros(shape)
    for view, (row, column) in enumerate(zip(geometry.rows, geometry.columns)):
        down, across = _edges_inside(row, rows), _edges_inside(column, columns)
        extremes = mask_logits[None, :, view].expand(2, -1, -1, -1)
        extremes = _extremes(extremes, row, rows[down])
        extremes = _extremes(extremes.mT.contiguous(), column, columns[across]).mT
        inside = (..., slice(down.start, down.stop - 1), slice(across.start, across.stop - 1))
        bounds[inside] += extremes.sigmoid()
        count[inside] += 1
    return Blocks(rows, columns, *bounds.div_(count))


def _edges(axes: Sequence[Axis], length: int, side: int) -> list[int]:
    """Edges of blocks along one axis: every ``side`` px, and where a view starts or ends."""
    ends = {edge for axis in axes for edge in (axis.start, axis.stop)}
    return sorted({*range(0, length, side), *ends, length})


def _edges_inside(axis: Axis, edges: list[int]) -> slice:
    """Edges of the blocks that lie inside a view."""
    return slice(edges.index(axis.start), edges.index(axis.stop) + 1)


def _extremes(logits: Tensor, axis: Axis, edges: Sequence[int]) -> Tensor:
    """Least and greatest logit of blocks along the rows, ``(2, Q, h, w)`` to ``(2, Q, N, w)``."""
    least, greatest = logits
    bands = [axis.band(*ends) for ends in zip(edges[:-1], edges[1:])]
    return torch.stack(
        [
            torch.stack([least[:, band].amin(dim=1) for band in bands], dim=1),
            torch.stack([greatest[:, band].amax(dim=1) for band in bands], dim=1),
        ]
    )


class BlockGroup(NamedTuple):
    """Blocks that the same views cover.

    Attributes:
        views: Numbers of these views.
        rows: Row of each block, int64 ``(N,)``.
        columns: Column of each block, int64 ``(N,)``.
    """

    views: list[int]
    rows: Tensor
    columns: Tensor

    def split(self, size: int) -> Iterator['BlockGroup']:
        """At most ``size`` blocks at a time."""
        for rows, columns in zip(self.rows.split(size), self.columns.split(size)):
            yield BlockGroup(self.views, rows, columns)

    def select(self, chosen: Tensor) -> 'BlockGroup':
        """Some blocks, bool or int64 ``(N,)``."""
        return BlockGroup(self.views, self.rows[chosen], self.columns[chosen])


class _Band(NamedTuple):
    """Resizing of the blocks along one axis of one view.

    Attributes:
        cells: Low-res cells that each block takes, int64 ``(N, k)``.
        weights: Their weights at each pixel of the block, ``(N, side, k)``.
    """

    cells: Tensor
    weights: Tensor


class _Pixels(NamedTuple):
    """Pixels of the blocks along one axis.

    Attributes:
        places: In the image, int64 ``(N, side)``.
        is_inside: 1 for pixels of the block, 0 where its last one is repeated, float32
            ``(N, side)``.
    """

    places: Tensor
    is_inside: Tensor


class BlockProbs:
    """Masks resized to blocks, by two products of small matrices for each block and view.

    Blocks that are smaller than the largest repeat their last row or column, so
    that all have the same shape.

    Args:
        mask_logits: float32 ``(Q, V, h, w)``.
        geometry: Where the views lie in the image.
        blocks: The blocks of the image.

    Attributes:
        rows: Pixels of each row of blocks.
        columns: Pixels of each column of blocks.
    """

    def __init__(self, mask_logits: Tensor, geometry: ViewGeometry, blocks: Blocks) -> None:
        self.mask_logits = mask_logits
        row_edges, column_edges = (
            torch.tensor(edges, device=mask_logits.device)
            for edges in (blocks.rows, blocks.columns)
        )
        self.rows, self.columns = _pixels_of(row_edges), _pixels_of(column_edges)
        self._row_bands = [_band(axis, self.rows.places) for axis in geometry.rows]
        self._column_bands = [_band(axis, self.columns.places) for axis in geometry.columns]
        self._covered_rows = [_is_covered(axis, row_edges) for axis in geometry.rows]
        self._covered_columns = [_is_covered(axis, column_edges) for axis in geometry.columns]

    def groups(self, chosen: Tensor) -> Iterator[BlockGroup]:
        """Group some blocks, bool ``(rows, columns)``, by the views that cover them."""
        signature = torch.zeros(chosen.shape, dtype=torch.int64, device=chosen.device)
        for view, (rows, columns) in enumerate(zip(self._covered_rows, self._covered_columns)):
            signature += (rows[:, None] & columns).long() << view
        for value in signature[chosen].unique().tolist():
            views = [view for view in range(len(self._row_bands)) if value >> view & 1]
            yield BlockGroup(views, *torch.nonzero(chosen & (signature == value)).unbind(dim=1))

    def probs(self, queries: Tensor, group: BlockGroup) -> Tensor:
        """Average the probability of one mask in each block over the views that cover it.

        Args:
            queries: Number of the mask for each block, int64 ``(N,)``.
            group: The blocks.

        Returns:
            float32 ``(N, side, side)``.
        """
        total = self.mask_logits.new_zeros(())
        for view in group.views:
            down, across = self._row_bands[view], self._column_bands[view]
            logits = self.mask_logits[:, view][
                queries[:, None, None],
                down.cells[group.rows][:, :, None],
                across.cells[group.columns][:, None],
            ]
            logits = down.weights[group.rows] @ logits @ across.weights[group.columns].mT
            total = logits.sigmoid_().add_(total)
        return total.div_(len(group.views))


def _pixels_of(edges: Tensor) -> _Pixels:
    offsets = torch.arange(int(edges.diff().max()), device=edges.device)
    pixels = edges[:-1, None] + offsets
    last = edges[1:, None] - 1
    return _Pixels(torch.minimum(pixels, last), (pixels <= last).float())


def _is_covered(axis: Axis, edges: Tensor) -> Tensor:
    """Which blocks along an axis lie inside a view, bool ``(N,)``."""
    return (edges[:-1] >= axis.start) & (edges[1:] <= axis.stop)


def _band(axis: Axis, pixels: Tensor) -> _Band:
    """Cut the matrix of an axis into the narrow ones of blocks; those outside are not used."""
    places = (pixels - axis.start).clamp(0, len(axis.matrix) - 1)
    first, last = (torch.tensor(cells, device=pixels.device) for cells in (axis.first, axis.last))
    first, last = first[places[:, 0]], last[places[:, -1]]
    length = int((last - first).max())
    first = first.clamp(max=axis.matrix.shape[1] - length)
    cells = first[:, None] + torch.arange(length, device=pixels.device)
    return _Band(cells, axis.matrix[places[:, :, None], cells[:, None]])
