"""How low-resolution masks of the views of a picture cover the picture.

Resizing mask logits (stride 4 -> padded input, cut to the view, -> the view's
box in the picture) is linear and separable, so it is one matrix for the rows and
one for the columns of each view, and any box of the picture can be computed by
itself. Bilinear values are convex combinations: the matrices also tell which
pixels a positive logit reaches.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor

# side of what is resized at a time, px
PATCH = 256
# what rounding can do to a probability, at most
ROUNDING = 1e-5


class Axis(NamedTuple):
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

    def side_of(self, cells: int) -> int:
        """Pixels of the picture that so many low-res cells of the whole view make."""
        used = self.rows[0].cells[1][-1]
        return max(1, round(cells * self.height / used))

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
            extremes = _extremes(mask_logits[None, :, view].expand(2, -1, -1, -1), row, rows[down])
            extremes = _extremes(extremes.mT.contiguous(), column, columns[across]).mT
            bounds[..., down.start : down.stop - 1, across.start : across.stop - 1] += (
                extremes.sigmoid()
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
        # patches keep the weights narrow, so that cost is linear in pixels
        for left in range(x0, x1, PATCH):
            right = min(left + PATCH, x1)
            block = total[..., left - x0 : right - x0]
            for top in range(y0, y1, PATCH):
                bottom = min(top + PATCH, y1)
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

    def reachable_boxes(self, positive: Tensor) -> Tensor:
        """Box outside of which no pixel of a mask can have a probability above 0.5.

        Args:
            positive: Where the mask logits are above 0, bool ``(Q, V, h, w)``.

        Returns:
            Boxes xyxy px, int64 ``(Q, 4)``; empty ones have no positive side.
        """
        empty = positive.new_tensor([self.width, self.height, 0, 0], dtype=torch.int64)
        first, last = empty.repeat(len(positive), 1).split(2, dim=1)
        for view, (row, column) in enumerate(zip(self.rows, self.columns)):
            ends = [
                _limits(axis, positive[:, view].any(dim=dim))
                for dim, axis in ((1, column), (2, row))
            ]
            for k, extreme, total in ((0, torch.minimum, first), (1, torch.maximum, last)):
                total.copy_(extreme(total, torch.stack([pair[k] for pair in ends], dim=1)))
        return torch.cat([first, last], dim=1)


def _covering(axes: list, length: int, device: torch.device) -> Tensor:
    """Whether each view covers each pixel of an axis, 0 or 1, float32 ``(length, V)``."""
    pixels = torch.arange(length, device=device)
    covered = [(pixels >= axis.start) & (pixels < axis.stop) for axis in axes]
    return torch.stack(covered, dim=1).float()


def block_side(longest: int, values_each: int, block_values: Optional[int]) -> int:
    """Side of a block whose pixels hold so many values each, px.

    Args:
        longest: Side without a budget.
        values_each: Values that a pixel holds.
        block_values: Budget of values, or None.
    """
    if block_values is None:
        return longest
    return max(1, min(longest, math.isqrt(block_values // values_each)))


def _edges(axes: list, length: int, side: int) -> list:
    """Edges of blocks along one axis: every ``side`` px, and where a view starts or ends."""
    ends = {edge for axis in axes for edge in (axis.start, axis.stop)}
    return sorted({*range(0, length, side), *ends, length})


def _inside(axis: Axis, edges: list) -> slice:
    """Edges of the blocks that lie inside a view."""
    return slice(edges.index(axis.start), edges.index(axis.stop) + 1)


def _extremes(logits: Tensor, axis: Axis, edges: list) -> Tensor:
    """Least and greatest logit of blocks along the rows, ``(2, Q, h, w)`` to ``(2, Q, N, w)``."""
    least, greatest = logits
    bands = [axis.band(*ends) for ends in zip(edges[:-1], edges[1:])]
    return torch.stack(
        [
            torch.stack([least[:, band].amin(dim=1) for band in bands], dim=1),
            torch.stack([greatest[:, band].amax(dim=1) for band in bands], dim=1),
        ]
    )


def _limits(axis: Axis, reached: Tensor) -> tuple:
    """First and past-the-last pixel of the reached cells ``(Q, cells)``; both ``(Q,)``."""
    far = torch.iinfo(torch.int64).max
    first = torch.where(reached, axis.first, far).amin(dim=1)
    return first, torch.where(reached, axis.last, 0).amax(dim=1)


def _axis(low: int, padded: int, valid: int, start: int, stop: int, device: torch.device) -> Axis:
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
    return Axis(matrix, (lows.tolist(), highs.tolist()), first, last, start, stop)


def _bilinear(source: int, target: int, device: torch.device) -> tuple:
    """Cells and weights of bilinear resizing (align_corners=False), both ``(target, 2)``."""
    scale = torch.tensor(source, dtype=torch.float32, device=device) / target
    place = (torch.arange(target, dtype=torch.float32, device=device) + 0.5) * scale - 0.5
    place = place.clamp(min=0)
    low = place.long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    weight = place - low
    return torch.stack([low, high], dim=1), torch.stack([1 - weight, weight], dim=1)
