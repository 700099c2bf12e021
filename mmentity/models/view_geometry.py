"""How low-resolution masks of the views of a picture cover the picture.

Resizing mask logits (stride 4 -> padded input, cut to the view, -> the view's
box in the picture) is linear and separable, so it is one matrix for the rows and
one for the columns of each view, and any box of the picture can be computed by
itself. Bilinear values are convex combinations: the matrices also tell which
pixels a positive logit reaches.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor

# side of the blocks that are resized at a time, px
BLOCK = 256


class _Axis(NamedTuple):
    """Resizing along one axis of one view.

    Attributes:
        matrix: Weights float32 ``(pixels of the view's box, low-res cells)``; a
            row has at most four neighbouring cells.
        cells: First and past-the-last cell that each pixel takes, two lists.
        first: First pixel that each low-res cell reaches, in the picture.
        last: One past the last pixel that each low-res cell reaches.
        start: Where the view's box starts in the picture.
        stop: Where it ends.
    """

    matrix: Tensor
    cells: tuple
    first: Tensor
    last: Tensor
    start: int
    stop: int

    def band(self, start: int, stop: int) -> slice:
        """Low-res cells that pixels ``start..stop`` of the view's box take."""
        return slice(self.cells[0][start - self.start], self.cells[1][stop - 1 - self.start])

    def weights(self, start: int, stop: int, band: slice) -> Tensor:
        """Weights of these cells at these pixels, ``(pixels, cells)``."""
        return self.matrix[start - self.start : stop - self.start, band]


class Blocks(NamedTuple):
    """A picture cut into blocks, each of them covered by the same views everywhere.

    Attributes:
        rows: Edges of the rows of blocks, from 0 to the height, px.
        columns: Edges of the columns of blocks, from 0 to the width, px.
        lower: Bound below the probabilities of each mask in each block,
            float32 ``(Q, rows, columns)``.
        upper: Bound above them.
    """

    rows: list
    columns: list
    lower: Tensor
    upper: Tensor

    @property
    def areas(self) -> Tensor:
        """Pixels of each block, int64 ``(rows, columns)``."""
        rows, columns = self.lengths
        return rows[:, None] * columns

    @property
    def lengths(self) -> tuple:
        """Heights and widths of the blocks, px, int64."""
        return tuple(
            torch.tensor(edges, device=self.lower.device).diff()
            for edges in (self.rows, self.columns)
        )

    def spread(self, values: Tensor) -> Tensor:
        """Give every pixel the value of its block, ``(rows, columns)`` to ``(H0, W0)``."""
        rows, columns = self.lengths
        return values.repeat_interleave(columns, dim=1).repeat_interleave(rows, dim=0)

    def boxes(self, chosen: Tensor) -> Iterator[tuple]:
        """Numbers and boxes of some blocks.

        Args:
            chosen: bool ``(rows, columns)``.

        Yields:
            Row and column of a block, and its box xyxy px.
        """
        for row, column in torch.nonzero(chosen).tolist():
            left, right = self.columns[column : column + 2]
            top, bottom = self.rows[row : row + 2]
            yield (row, column), (left, top, right, bottom)


class ViewGeometry:
    """Where the views of one picture lie and how their masks are resized to it.

    Args:
        mask_shape: Height and width of the mask logits, at stride 4 of the padded
            input.
        view_boxes: Box of each view in the picture, xyxy px; ``(V, 4)``.
        view_shapes: Height and width of each view after resizing, before
            padding; ``(V, 2)`` px.
        padded_shape: Height and width of the padded input, px.
        ori_shape: Height and width of the picture, px.
        device: Where masks are computed.

    Attributes:
        height: Height of the picture, px.
        width: Width of the picture, px.
        num_views: Number of views V.

    Raises:
        ValueError: If the numbers of boxes and shapes differ.
    """

    def __init__(
        self,
        mask_shape: Sequence[int],
        view_boxes: Sequence[Sequence[int]],
        view_shapes: Sequence[Sequence[int]],
        padded_shape: Sequence[int],
        ori_shape: Sequence[int],
        device: torch.device,
    ) -> None:
        if len(view_boxes) != len(view_shapes):
            raise ValueError(
                f'the sample has {len(view_boxes)} boxes and {len(view_shapes)} shapes of views; '
                'train and test with the same pipeline'
            )
        self.height, self.width = (int(side) for side in ori_shape[:2])
        self.num_views = len(view_boxes)
        self.rows, self.columns = (
            [
                _axis(
                    low,
                    int(padded),
                    int(shape[axis]),
                    int(box[1 - axis]),
                    int(box[3 - axis]),
                    device,
                )
                for box, shape in zip(view_boxes, view_shapes)
            ]
            for axis, (low, padded) in enumerate(zip(mask_shape, padded_shape))
        )

        self._row_views = _covering(self.rows, self.height, device)
        self._column_views = _covering(self.columns, self.width, device)

    def strips(self, max_pixels: int) -> Iterator[tuple]:
        """Cut the picture into strips of full rows.

        Args:
            max_pixels: Most pixels of a strip; a strip has one row at least.

        Yields:
            First and past-the-last row.
        """
        step = max(1, max_pixels // max(self.width, 1))
        for top in range(0, self.height, step):
            yield top, min(top + step, self.height)

    def tiles(self, max_pixels: int) -> Iterator[tuple]:
        """Cut the picture into tiles, square but at its borders.

        Args:
            max_pixels: Most pixels of a tile; a tile has one at least.

        Yields:
            Boxes xyxy px.
        """
        side = max(1, math.isqrt(max_pixels))
        for top in range(0, self.height, side):
            for left in range(0, self.width, side):
                yield left, top, min(left + side, self.width), min(top + side, self.height)

    def blocks(self, mask_logits: Tensor, side: int) -> Blocks:
        """Bound the probabilities of masks in the blocks of a picture.

        Bilinear values are convex combinations, so the least and the greatest logit
        of the cells that a block takes bound all of its pixels, up to rounding.

        Args:
            mask_logits: float32 ``(Q, V, h, w)``.
            side: Longest side of a block, px.
        """
        rows, columns = (
            _edges(axes, length, side)
            for axes, length in ((self.rows, self.height), (self.columns, self.width))
        )
        shape = (len(rows) - 1, len(columns) - 1)
        bounds = mask_logits.new_zeros((2, len(mask_logits), *shape))
        count = mask_logits.new_zeros(shape)
        for view, (row, column) in enumerate(zip(self.rows, self.columns)):
            down, across = _inside(row, rows), _inside(column, columns)
            for total, extreme in zip(bounds, (torch.amin, torch.amax)):
                logits = _extremes(mask_logits[:, view], row, rows[down], extreme)
                logits = _extremes(logits.mT, column, columns[across], extreme).mT
                total[:, down.start : down.stop - 1, across.start : across.stop - 1] += (
                    logits.sigmoid()
                )
            count[down.start : down.stop - 1, across.start : across.stop - 1] += 1
        return Blocks(rows, columns, *bounds.div_(count))

    def probs(
        self, mask_logits: Tensor, box: Sequence[int], queries: Optional[Tensor] = None
    ) -> Tensor:
        """Probability of masks inside a box, averaged over the views that cover a pixel.

        Args:
            mask_logits: float32 ``(..., V, h, w)``.
            box: xyxy px.
            queries: Numbers of the masks of ``(Q, V, h, w)`` to look at, int64
                ``(N,)``; by default all.

        Returns:
            float32 ``(..., y1 - y0, x1 - x0)``.
        """
        x0, y0, x1, y1 = box
        leading = mask_logits.shape[:-3] if queries is None else queries.shape
        total = mask_logits.new_zeros((*leading, y1 - y0, x1 - x0))
        # blocks keep the weights of a block narrow, so that cost is linear in pixels
        for left in range(x0, x1, BLOCK):
            right = min(left + BLOCK, x1)
            block = total[..., left - x0 : right - x0]
            for top in range(y0, y1, BLOCK):
                bottom = min(top + BLOCK, y1)
                part = block[..., top - y0 : bottom - y0, :]
                self._add_probs(part, mask_logits, (left, top, right, bottom), queries)
        return total.div_(self._count(box))

    def _views_in(self, box: Sequence[int]) -> Iterator[tuple]:
        """Views that touch a box: number, rows, columns, and the box that they share."""
        x0, y0, x1, y1 = box
        for view, (row, column) in enumerate(zip(self.rows, self.columns)):
            left, right = max(x0, column.start), min(x1, column.stop)
            top, bottom = max(y0, row.start), min(y1, row.stop)
            if top < bottom and left < right:
                yield view, row, column, (left, top, right, bottom)

    def _add_probs(
        self,
        total: Tensor,
        mask_logits: Tensor,
        box: Sequence[int],
        queries: Optional[Tensor],
    ) -> None:
        """Add the probabilities of all views inside a box to ``total``."""
        for view, row, column, (left, top, right, bottom) in self._views_in(box):
            down, across = row.band(top, bottom), column.band(left, right)
            logits = mask_logits[..., view, down, across]
            logits = logits if queries is None else logits[queries]
            probs = row.weights(top, bottom, down) @ logits
            probs = (probs @ column.weights(left, right, across).T).sigmoid_()
            x0, y0 = box[:2]
            total[..., top - y0 : bottom - y0, left - x0 : right - x0] += probs

    def _count(self, box: Sequence[int]) -> Tensor:
        """Count the views that cover each pixel of a box, float32."""
        x0, y0, x1, y1 = box
        return self._row_views[y0:y1] @ self._column_views[x0:x1].T

    def reachable_boxes(
        self,
        positive: Tensor,
        within: Optional[Sequence[int]] = None,
        queries: Optional[Tensor] = None,
    ) -> Tensor:
        """Box outside of which no pixel of a mask can have a probability above 0.5.

        Args:
            positive: Where the mask logits are above 0, bool ``(Q, V, h, w)``.
            within: Part of the picture to look at, xyxy px; by default all of it.
            queries: Numbers of the queries to look at, int64 ``(N,)``; by default all.

        Returns:
            Boxes xyxy px inside ``within``, int64 ``(N, 4)``; empty ones have no
            positive side.
        """
        x0, y0, x1, y1 = within = tuple(within or (0, 0, self.width, self.height))
        queries = slice(None) if queries is None else queries
        empty = torch.tensor([x1, y1, -x0, -y0], device=positive.device)
        reached = empty.expand(len(positive[queries, 0, 0, 0]), 4)
        # the far sides are negative, so that every side is a minimum
        for view, row, column, (left, top, right, bottom) in self._views_in(within):
            down, across = row.band(top, bottom), column.band(left, right)
            cells = positive[queries, view, down, across]
            first_x, last_x = _limits(column, across, cells.any(dim=1))
            first_y, last_y = _limits(row, down, cells.any(dim=2))
            sides = torch.stack([first_x, first_y, -last_x, -last_y], dim=1)
            reached = torch.minimum(reached, sides)
        inside = torch.tensor([x0, y0, -x1, -y1], device=positive.device)
        return torch.maximum(reached, inside) * inside.new_tensor([1, 1, -1, -1])


def _covering(axes: list, length: int, device: torch.device) -> Tensor:
    """Whether each view covers each pixel of an axis, 0 or 1, float32 ``(length, V)``."""
    pixels = torch.arange(length, device=device)
    covered = [(pixels >= axis.start) & (pixels < axis.stop) for axis in axes]
    return torch.stack(covered, dim=1).float()


def _edges(axes: list, length: int, side: int) -> list:
    """Edges of blocks along one axis: every ``side`` px, and where a view starts or ends."""
    ends = {edge for axis in axes for edge in (axis.start, axis.stop)}
    return sorted({*range(0, length, side), *ends, length})


def _inside(axis: _Axis, edges: list) -> slice:
    """Edges of the blocks that lie inside a view."""
    return slice(edges.index(axis.start), edges.index(axis.stop) + 1)


def _extremes(logits: Tensor, axis: _Axis, edges: list, extreme: Callable) -> Tensor:
    """Least or greatest logit of each block along the rows, ``(Q, h, w)`` to ``(Q, N, w)``."""
    bands = (axis.band(*ends) for ends in zip(edges[:-1], edges[1:]))
    return torch.stack([extreme(logits[:, band], dim=1) for band in bands], dim=1)


def _limits(axis: _Axis, band: slice, reached: Tensor) -> tuple:
    """First and past-the-last pixel of the reached cells of a band; both ``(Q,)``."""
    far = torch.iinfo(torch.int64).max
    first = torch.where(reached, axis.first[band], far).amin(dim=1)
    return first, torch.where(reached, axis.last[band], 0).amax(dim=1)


def _axis(low: int, padded: int, valid: int, start: int, stop: int, device: torch.device) -> _Axis:
    """Resizing of ``low`` cells to ``padded``, cut to ``valid``, to pixels ``start..stop``."""
    size = stop - start
    outer, outer_weight = _bilinear(valid, size, device)
    inner, inner_weight = _bilinear(low, padded, device)
    # every pixel takes two padded cells, each of them two low-res cells
    cells = inner[outer].flatten(1)
    weights = (inner_weight[outer] * outer_weight[:, :, None]).flatten(1)
    matrix = torch.zeros((size, low), device=device).scatter_add_(1, cells, weights)
    lows, highs = cells[:, 0], cells[:, -1] + 1
    every_cell = torch.arange(low, device=device)
    first = torch.searchsorted(highs.contiguous(), every_cell, right=True) + start
    last = torch.searchsorted(lows.contiguous(), every_cell, right=True) + start
    return _Axis(matrix, (lows.tolist(), highs.tolist()), first, last, start, stop)


def _bilinear(source: int, target: int, device: torch.device) -> tuple:
    """Cells and weights of bilinear resizing (align_corners=False), both ``(target, 2)``."""
    scale = torch.tensor(source, dtype=torch.float32, device=device) / target
    place = (torch.arange(target, dtype=torch.float32, device=device) + 0.5) * scale - 0.5
    place = place.clamp(min=0)
    low = place.long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    weight = place - low
    return torch.stack([low, high], dim=1), torch.stack([1 - weight, weight], dim=1)
