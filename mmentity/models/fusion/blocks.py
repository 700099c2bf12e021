"""An image cut into blocks: bounds of the masks in each, and masks of many blocks at once.

Bilinear values are convex combinations, so the least and the greatest logit of the cells
that a block takes bound the probability of all of its pixels, up to rounding.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Optional, Union

import torch
from torch import Tensor

from mmentity.models.fusion.geometry import KEPT, Axis, ViewGeometry
from mmentity.models.transfers import move

# logits that are bounded together; on the CPU they fit into the cache
BOUNDED_VALUES = {'cpu': 1 << 18}
BOUNDED_VALUES_ELSEWHERE = 1 << 27


class Pixels(NamedTuple):
    """Pixels of the blocks along one axis.

    Blocks that are smaller than the largest repeat their last pixel, so that all have
    the same shape.

    Attributes:
        places: In the image, int64 ``(N, side)``.
        is_inside: 1 for pixels of the block, 0 where its last one is repeated, float32
            ``(N, side)``.
        lengths: Pixels of each block, int64 ``(N,)``.
    """

    places: Tensor
    is_inside: Tensor
    lengths: Tensor


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

    def select(self, chosen: Union[Tensor, slice]) -> 'BlockGroup':
        """Some blocks, by their numbers int64 ``(N,)`` or a slice."""
        return BlockGroup(self.views, self.rows[chosen], self.columns[chosen])


class Grid:
    """An image cut into blocks, each of them covered by the same views everywhere.

    Holds all that does not depend on the masks.

    Args:
        geometry: Where the views lie in the image.
        side: Longest side of a block, px.

    Attributes:
        rows: Pixels of the rows of blocks.
        columns: Pixels of the columns of blocks.
        row_bands: Resizing of the rows of blocks, for each view.
        column_bands: Resizing of the columns of blocks, for each view.
        inside: Rows and columns of blocks that each view covers.
        num_views: How many views cover each block, float32 ``(rows, columns)``.
    """

    def __init__(self, geometry: ViewGeometry, side: int) -> None:
        device = geometry.device
        edges = _edges(geometry.rows, geometry.height, side)
        across = _edges(geometry.columns, geometry.width, side)
        self.height, self.width = geometry.height, geometry.width
        self.inside = [
            (_inside(row, edges), _inside(column, across))
            for row, column in zip(geometry.rows, geometry.columns)
        ]
        rows, columns = _pixels_of(edges), _pixels_of(across)
        self.row_bands = [axis.bands(rows.places, device) for axis in geometry.rows]
        self.column_bands = [axis.bands(columns.places, device) for axis in geometry.columns]
        covered = torch.zeros((geometry.num_views, len(edges) - 1, len(across) - 1))
        for view, inside in enumerate(self.inside):
            covered[view][inside] = 1
        kinds, kind_of = covered.flatten(1).T.unique(dim=0, return_inverse=True)
        self._views = [torch.nonzero(kind).flatten().tolist() for kind in kinds]
        self._kind_of = move(kind_of.view(covered.shape[1:]), device)
        self.num_views = move(covered.sum(dim=0), device)
        self.rows, self.columns = (
            Pixels(*(move(table, device) for table in pixels)) for pixels in (rows, columns)
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return len(self.rows.lengths), len(self.columns.lengths)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the largest block, px."""
        return self.rows.places.shape[1], self.columns.places.shape[1]

    @property
    def areas(self) -> Tensor:
        """Pixels of each block, int64 ``(rows, columns)``."""
        return self.rows.lengths[:, None] * self.columns.lengths

    def to_pixels(self, values: Tensor) -> Tensor:
        """Give every pixel the value of its block, ``(rows, columns)`` to ``(H0, W0)``."""
        values = values.repeat_interleave(self.columns.lengths, 1, output_size=self.width)
        return values.repeat_interleave(self.rows.lengths, 0, output_size=self.height)

    def groups(self, chosen: Tensor) -> Iterator[BlockGroup]:
        """Group some blocks, bool ``(rows, columns)``, by the views that cover them."""
        rows, columns = torch.nonzero(chosen).unbind(dim=1)
        kinds = self._kind_of[rows, columns]
        order = kinds.argsort(stable=True)
        counts = count_values(kinds, len(self._views)).tolist()
        parts = zip(self._views, rows[order].split(counts), columns[order].split(counts))
        for views, group_rows, group_columns in parts:
            if len(group_rows):
                yield BlockGroup(views, group_rows, group_columns)

    def inside_of(self, group: BlockGroup) -> tuple[Tensor, Tensor]:
        """Where the rows and columns of blocks lie inside them, float32 ``(N, side)`` both."""
        return self.rows.is_inside[group.rows], self.columns.is_inside[group.columns]

    def write(self, ids: Tensor, values: Tensor, group: BlockGroup) -> None:
        """Write values of blocks ``(N, side, side)`` into a map ``(H0, W0)``."""
        ys, xs = self.rows.places[group.rows], self.columns.places[group.columns]
        ids[ys[:, :, None], xs[:, None]] = values


@lru_cache(maxsize=KEPT)
def grid_of(geometry: ViewGeometry, side: int) -> Grid:
    """Cut an image into blocks of at most this side, px; images of one geometry only once."""
    return Grid(geometry, side)


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


class Bounds(NamedTuple):
    """Bounds of the probabilities of each mask in each block.

    Attributes:
        lower: Bound below, float32 ``(Q, rows, columns)``.
        upper: Bound above.
    """

    lower: Tensor
    upper: Tensor


def bound_blocks(mask_logits: Tensor, grid: Grid) -> Bounds:
    """Bound the probabilities of masks in blocks.

    Args:
        mask_logits: float32 ``(Q, V, h, w)``.
        grid: The blocks.
    """
    bounds = mask_logits.new_zeros((2, len(mask_logits), *grid.shape))
    for view, (down, across) in enumerate(grid.inside):
        rows, columns = grid.row_bands[view].taken[down], grid.column_bands[view].taken[across]
        logits = mask_logits[:, view]
        step = max(1, _bounded_values(logits) // (rows.numel() * logits.shape[-1]))
        for start in range(0, len(logits), step):
            some = slice(start, start + step)
            taken = logits[some][:, rows]
            least, greatest = taken.amin(dim=2).mT[:, columns], taken.amax(dim=2).mT[:, columns]
            bounds[0, some, down, across] += least.amin(dim=2).mT.sigmoid()
            bounds[1, some, down, across] += greatest.amax(dim=2).mT.sigmoid()
    return Bounds(*bounds.div_(grid.num_views))


def _bounded_values(logits: Tensor) -> int:
    return BOUNDED_VALUES.get(logits.device.type, BOUNDED_VALUES_ELSEWHERE)


def _edges(axes: Sequence[Axis], length: int, side: int) -> list[int]:
    """Edges of blocks along one axis: every ``side`` px, and where a view starts or ends."""
    ends = {edge for axis in axes for edge in (axis.start, axis.stop)}
    return sorted({*range(0, length, side), *ends, length})


def _inside(axis: Axis, edges: list[int]) -> slice:
    """Blocks that lie inside a view."""
    return slice(edges.index(axis.start), edges.index(axis.stop))


def _pixels_of(edges: list[int]) -> Pixels:
    starts = torch.tensor(edges)
    lengths = starts.diff()
    pixels = starts[:-1, None] + torch.arange(int(lengths.max()))
    last = starts[1:, None] - 1
    return Pixels(torch.minimum(pixels, last), (pixels <= last).float(), lengths)


def count_values(values: Tensor, length: int) -> Tensor:
    """Count the values 0..length-1 of integers, int64 ``(length,)``, without waiting for them."""
    values = values.flatten().long()
    counts = torch.zeros(length, dtype=torch.int64, device=values.device)
    return counts.scatter_add_(0, values, counts.new_ones(1).expand_as(values))


def first_of_greatest(values: Tensor, dim: int) -> Tensor:
    """Number of the first of the greatest values along an axis, int64.

    As ``argmax``, which is slow on a CPU where the axis is not the last one.
    """
    count = values.shape[dim]
    ranks = torch.arange(count, 0, -1, dtype=torch.int16, device=values.device)
    ranks = ranks.view(-1, *(1,) * (values.ndim - 1 - dim % values.ndim))
    is_greatest = values == values.amax(dim=dim, keepdim=True)
    # at least one of the values is the greatest, unless they are not numbers
    return count - (is_greatest * ranks).amax(dim=dim).long().clamp_(min=1)


class BlockProbs:
    """Masks resized to blocks, by two products of small matrices for each block and view.

    Args:
        mask_logits: float32 ``(Q, V, h, w)``.
        grid: The blocks.
    """

    def __init__(self, mask_logits: Tensor, grid: Grid) -> None:
        self.mask_logits = mask_logits
        self.grid = grid

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
            down, across = self.grid.row_bands[view], self.grid.column_bands[view]
            logits = self.mask_logits[:, view][
                queries[:, None, None],
                down.cells[group.rows][:, :, None],
                across.cells[group.columns][:, None],
            ]
            logits = down.weights[group.rows] @ logits @ across.weights[group.columns].mT
            total = logits.sigmoid_().add_(total)
        return total.div_(len(group.views))
