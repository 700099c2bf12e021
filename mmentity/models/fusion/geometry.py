"""How low-resolution masks of the views of an image cover the image.

Resizing mask logits (stride 4 -> padded input, cut to the view, -> the view's
box in the image) is linear and separable, so it is one matrix for the rows and
one for the columns of each view, and any box of the image can be computed by
itself.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

# side of what is resized at a time, px
PATCH = 256
# what rounding can do to a probability, at most
ROUNDING = 1e-5

# xyxy px, right and bottom exclusive
Box = tuple[int, int, int, int]


class Axis(NamedTuple):
    """Resizing along one axis of one view.

    Attributes:
        matrix: Weights float32 ``(pixels of the view's box, low-res cells)``; a
            row has at most four neighbouring cells.
        first: First cell that each pixel takes.
        last: One past the last cell that each pixel takes.
        start: Where the view's box starts in the image, px.
        stop: Where it ends.
    """

    matrix: Tensor
    first: list[int]
    last: list[int]
    start: int
    stop: int

    def band(self, start: int, stop: int) -> slice:
        """Low-res cells that pixels ``start..stop`` of the image take."""
        return slice(self.first[start - self.start], self.last[stop - 1 - self.start])

    def weights(self, start: int, stop: int, band: slice) -> Tensor:
        """Weights of these cells at these pixels, ``(pixels, cells)``."""
        return self.matrix[start - self.start : stop - self.start, band]

    def mirror(self, length: int) -> 'Axis':
        """Run the pixels and the cells of a view backwards, in an image of this length, px."""
        cells = self.matrix.shape[1]
        return Axis(
            self.matrix.flip(0, 1),
            [cells - last for last in reversed(self.last)],
            [cells - first for first in reversed(self.first)],
            length - self.stop,
            length - self.start,
        )

    def widen(self, cells: int) -> 'Axis':
        """Add cells at the end that no pixel takes, up to a number."""
        return self._replace(matrix=F.pad(self.matrix, (0, cells - self.matrix.shape[1])))


class ViewGeometry:
    """Where the views of one image lie and how their masks are resized to it.

    Args:
        mask_shape: Height and width of the mask logits, at stride 4 of the padded
            input.
        view_boxes: Box of each view in the image, xyxy px; ``(V, 4)``.
        view_shapes: Height and width of each view after resizing, before
            padding; ``(V, 2)`` px.
        padded_shape: Height and width of the padded input, px.
        ori_shape: Height and width of the image, px.
        device: Where masks are computed.

    Attributes:
        height: Height of the image, px.
        width: Width of the image, px.
        num_views: Number of views V.
        rows: Resizing of the rows of each view.
        columns: Resizing of its columns.

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
        low_height, low_width = mask_shape
        height, width = (int(side) for side in padded_shape)
        views = [
            ([int(side) for side in shape], [int(edge) for edge in box])
            for shape, box in zip(view_shapes, view_boxes)
        ]
        self.rows = [
            _axis(low_height, height, shape[0], box[1], box[3], device) for shape, box in views
        ]
        self.columns = [
            _axis(low_width, width, shape[1], box[0], box[2], device) for shape, box in views
        ]
        self._cover()

    def _cover(self) -> None:
        device = self.rows[0].matrix.device
        self._row_views = _covering(self.rows, self.height, device)
        self._column_views = _covering(self.columns, self.width, device)

    def mirror(self) -> 'ViewGeometry':
        """Geometry of the image whose mirror image has these views.

        Its masks are those of the mirror image with their columns in reverse order.
        """
        mirrored = copy.copy(self)
        mirrored.columns = [axis.mirror(self.width) for axis in self.columns]
        mirrored._cover()
        return mirrored

    def join(self, others: Sequence['ViewGeometry']) -> 'ViewGeometry':
        """Geometry of the views of this and of others of the same image, one after the other.

        Its masks are theirs, padded at the right and bottom to the largest.
        """
        joined = copy.copy(self)
        parts = [self, *others]
        joined.rows = _widest([axis for part in parts for axis in part.rows])
        joined.columns = _widest([axis for part in parts for axis in part.columns])
        joined.num_views = len(joined.rows)
        joined._cover()
        return joined

    def side_of(self, cells: int) -> int:
        """Pixels of the image that so many low-res cells of the whole view make."""
        return max(1, round(cells * self.height / self.rows[0].last[-1]))

    def probs(
        self, mask_logits: Tensor, box: Sequence[int], queries: Optional[Tensor] = None
    ) -> Tensor:
        """Probability of masks inside a box, averaged over the views that cover a pixel.

        Args:
            mask_logits: float32 ``(..., V, h, w)``.
            box: xyxy px.
            queries: Numbers of the masks of ``(Q, V, h, w)`` to compute, int64
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
        return total.div_(self._row_views[y0:y1] @ self._column_views[x0:x1].T)

    def _add_probs(
        self, total: Tensor, mask_logits: Tensor, box: Box, queries: Optional[Tensor]
    ) -> None:
        """Add the probabilities of all views inside a box to ``total``."""
        x0, y0, x1, y1 = box
        for view, (row, column) in enumerate(zip(self.rows, self.columns)):
            left, right = max(x0, column.start), min(x1, column.stop)
            top, bottom = max(y0, row.start), min(y1, row.stop)
            if top >= bottom or left >= right:
                continue
            down, across = row.band(top, bottom), column.band(left, right)
            logits = mask_logits[..., view, down, across]
            logits = logits if queries is None else logits[queries]
            probs = row.weights(top, bottom, down) @ logits
            probs = (probs @ column.weights(left, right, across).T).sigmoid_()
            total[..., top - y0 : bottom - y0, left - x0 : right - x0] += probs


def _covering(axes: Sequence[Axis], length: int, device: torch.device) -> Tensor:
    """Whether each view covers each pixel of an axis, 0 or 1, float32 ``(length, V)``."""
    pixels = torch.arange(length, device=device)
    covered = [(pixels >= axis.start) & (pixels < axis.stop) for axis in axes]
    return torch.stack(covered, dim=1).float()


def _widest(axes: Sequence[Axis]) -> list[Axis]:
    """Give all axes as many cells as the largest has."""
    cells = max(axis.matrix.shape[1] for axis in axes)
    return [axis.widen(cells) for axis in axes]


def _axis(low: int, padded: int, valid: int, start: int, stop: int, device: torch.device) -> Axis:
    """Resizing of ``low`` cells to ``padded``, cut to ``valid``, to pixels ``start..stop``."""
    size = stop - start
    outer, outer_weight = _bilinear(valid, size, device)
    inner, inner_weight = _bilinear(low, padded, device)
    # every pixel takes two padded cells, each of them two low-res cells
    cells = inner[outer].flatten(1)
    weights = (inner_weight[outer] * outer_weight[:, :, None]).flatten(1)
    matrix = torch.zeros((size, low), device=device).scatter_add_(1, cells, weights)
    return Axis(matrix, cells[:, 0].tolist(), (cells[:, -1] + 1).tolist(), start, stop)


def _bilinear(source: int, target: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cells and weights of bilinear resizing (align_corners=False), both ``(target, 2)``."""
    scale = torch.tensor(source, dtype=torch.float32, device=device) / target
    place = (torch.arange(target, dtype=torch.float32, device=device) + 0.5) * scale - 0.5
    place = place.clamp(min=0)
    low = place.long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    weight = place - low
    return torch.stack([low, high], dim=1), torch.stack([1 - weight, weight], dim=1)
