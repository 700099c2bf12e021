"""How low-resolution masks of the views of an image cover the image.

Resizing mask logits (stride 4 -> padded input, cut to the view, -> the view's
box in the image) is linear and separable, so it is one matrix for the rows and
one for the columns of each view, and any box of the image can be computed by
itself.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.transfers import move

# side of what is resized at a time, px
PATCH = 256
# what rounding can do to a probability, at most
ROUNDING = 1e-5
# geometries that are kept for images of the same sizes
KEPT = 8

# xyxy px, right and bottom exclusive
Box = tuple[int, int, int, int]


class Bands(NamedTuple):
    """Resizing of stretches of pixels along one axis of one view.

    Stretches outside of the view have numbers that mean nothing.

    Attributes:
        cells: Neighbouring low-res cells that each stretch takes, int64 ``(N, k)``.
        taken: The same, with the last one that a pixel takes in place of those after it.
        weights: Their weights at each pixel of the stretch, float32 ``(N, side, k)``.
        first: First of the cells of each stretch.
    """

    cells: Tensor
    taken: Tensor
    weights: Tensor
    first: list[int]


class Axis(NamedTuple):
    """Resizing along one axis of one view; its tables lie on the CPU.

    Attributes:
        cells: Low-res cells that each pixel of the view's box takes, ascending, int64
            ``(pixels, 4)``; a cell may stand there twice.
        weights: Their weights, float32 ``(pixels, 4)``.
        length: Low-res cells of the view.
        start: Where the view's box starts in the image, px.
        stop: Where it ends.
    """

    cells: Tensor
    weights: Tensor
    length: int
    start: int
    stop: int

    def mirror(self, length: int) -> 'Axis':
        """Run the pixels and the cells of a view backwards, in an image of this length, px."""
        return Axis(
            self.length - 1 - self.cells.flip(0, 1),
            self.weights.flip(0, 1),
            self.length,
            length - self.stop,
            length - self.start,
        )

    def bands(self, pixels: Tensor, device: torch.device) -> Bands:
        """Tables for stretches of neighbouring pixels of the image.

        Args:
            pixels: Ascending, int64 ``(N, side)`` on the CPU.
            device: Where they are used.
        """
        places = (pixels - self.start).clamp(0, len(self.cells) - 1)
        first, last = self.cells[places[:, 0], 0], self.cells[places[:, -1], -1]
        steps = torch.arange(int((last - first).max()) + 1)
        taken = torch.minimum(first[:, None] + steps, last[:, None])
        first = first.clamp(max=self.length - len(steps))
        taps = self.cells[places] - first[:, None, None]
        weights = torch.zeros((*places.shape, len(steps)))
        weights.scatter_add_(2, taps, self.weights[places])
        return Bands(
            move(first[:, None] + steps, device),
            move(taken, device),
            move(weights, device),
            first.tolist(),
        )

    def rows_of(self, pixels: Tensor) -> Tensor:
        """Weights of all cells at some pixels of the view, float32 ``(N, length)``, on the CPU."""
        rows = torch.zeros((len(pixels), self.length))
        return rows.scatter_add_(1, self.cells[pixels], self.weights[pixels])


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
        device: Where masks are computed.
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
        self.device = device
        low_height, low_width = mask_shape
        height, width = (int(side) for side in padded_shape)
        views = [
            ([int(side) for side in shape], [int(edge) for edge in box])
            for shape, box in zip(view_shapes, view_boxes)
        ]
        self.rows = [_axis(low_height, height, shape[0], box[1], box[3]) for shape, box in views]
        self.columns = [_axis(low_width, width, shape[1], box[0], box[2]) for shape, box in views]

    @property
    def num_views(self) -> int:
        """Number of views V."""
        return len(self.rows)

    def _with(self, rows: Sequence[Axis], columns: Sequence[Axis]) -> 'ViewGeometry':
        """Geometry of the same image with other views."""
        other = copy.copy(self)
        # tables that are made once must not stay
        other.__dict__.pop('_patches', None)
        other.rows, other.columns = list(rows), list(columns)
        return other

    def mirror(self) -> 'ViewGeometry':
        """Geometry of the image whose mirror image has these views.

        Its masks are those of the mirror image with their columns in reverse order.
        """
        return self._with(self.rows, [axis.mirror(self.width) for axis in self.columns])

    def join(self, others: Sequence['ViewGeometry']) -> 'ViewGeometry':
        """Geometry of the views of this and of others of the same image, one after the other.

        Its masks are theirs, padded at the right and bottom to the largest.
        """
        parts = [self, *others]
        return self._with(
            _widest([axis for part in parts for axis in part.rows]),
            _widest([axis for part in parts for axis in part.columns]),
        )

    def side_of(self, cells: int) -> int:
        """Pixels of the image that so many low-res cells of the whole view make."""
        return max(1, round(cells * self.height / (int(self.rows[0].cells[-1, -1]) + 1)))

    @cached_property
    def _patches(self) -> '_Patches':
        return _Patches(self)

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
        for row, top, bottom in _cut(y0, y1):
            for column, left, right in _cut(x0, x1):
                part = total[..., top - y0 : bottom - y0, left - x0 : right - x0]
                self._add_probs(
                    part, mask_logits, (row, column), (left, top, right, bottom), queries
                )
        return total.div_(self.count(box))

    def count(self, box: Sequence[int]) -> Tensor:
        """Count the views that cover each pixel of a box, float32 ``(y1 - y0, x1 - x0)``."""
        return self._patches.count(box)

    def _add_probs(
        self,
        total: Tensor,
        mask_logits: Tensor,
        patch: tuple[int, int],
        box: Box,
        queries: Optional[Tensor],
    ) -> None:
        """Add the probabilities of all views inside a part of a patch to ``total``."""
        x0, y0, x1, y1 = box
        for view, (row, column) in enumerate(zip(self.rows, self.columns)):
            left, right = max(x0, column.start), min(x1, column.stop)
            top, bottom = max(y0, row.start), min(y1, row.stop)
            if top >= bottom or left >= right:
                continue
            down, down_cells = _weights(self._patches.rows[view], patch[0], top, bottom)
            across, across_cells = _weights(self._patches.columns[view], patch[1], left, right)
            logits = mask_logits[..., view, down_cells, across_cells]
            logits = logits if queries is None else logits[queries]
            probs = (down @ logits @ across.T).sigmoid_()
            total[..., top - y0 : bottom - y0, left - x0 : right - x0] += probs


def strips(box: Box, pixels: int) -> Iterator[Box]:
    """Cut a box into strips of at most so many pixels, or of one row; none of an empty one."""
    x0, y0, x1, y1 = box
    step = max(1, pixels // max(x1 - x0, 1))
    for top in range(y0, y1, step):
        yield x0, top, x1, min(top + step, y1)


class _Patches:
    """Tables of the patches that an image is cut into.

    Args:
        geometry: Where the views lie in the image.

    Attributes:
        rows: Resizing of the rows of patches, for each view.
        columns: Resizing of their columns.
    """

    def __init__(self, geometry: ViewGeometry) -> None:
        device = geometry.device
        self.rows = _patch_bands(geometry.rows, geometry.height, device)
        self.columns = _patch_bands(geometry.columns, geometry.width, device)
        self._row_views = move(_covering(geometry.rows, geometry.height), device)
        self._column_views = move(_covering(geometry.columns, geometry.width), device)

    def count(self, box: Sequence[int]) -> Tensor:
        """How many views cover each pixel of a box, float32 ``(y1 - y0, x1 - x0)``."""
        x0, y0, x1, y1 = box
        return self._row_views[y0:y1] @ self._column_views[x0:x1].T


def _patch_bands(axes: Sequence[Axis], length: int, device: torch.device) -> list[Bands]:
    pixels = torch.arange(0, length, PATCH)[:, None] + torch.arange(min(PATCH, length))
    return [axis.bands(pixels.clamp(max=length - 1), device) for axis in axes]


def _cut(start: int, stop: int) -> list[tuple[int, int, int]]:
    """Numbers of the patches of a stretch of pixels, and where each part starts and stops."""
    edges = [start, *range((start // PATCH + 1) * PATCH, stop, PATCH), stop]
    return [(low // PATCH, low, high) for low, high in zip(edges[:-1], edges[1:]) if low < high]


def _weights(bands: Bands, patch: int, start: int, stop: int) -> tuple[Tensor, slice]:
    """Weights at pixels of the image inside a patch ``(pixels, k)``, and their cells."""
    weights = bands.weights[patch, start - patch * PATCH : stop - patch * PATCH]
    first = bands.first[patch]
    return weights, slice(first, first + weights.shape[1])


def _covering(axes: Sequence[Axis], length: int) -> Tensor:
    """Whether each view covers each pixel of an axis, 0 or 1, float32 ``(length, V)``."""
    pixels = torch.arange(length)
    covered = [(pixels >= axis.start) & (pixels < axis.stop) for axis in axes]
    return torch.stack(covered, dim=1).float()


def _widest(axes: Sequence[Axis]) -> list[Axis]:
    """Give all axes as many cells as the largest has; no pixel takes those that are added."""
    length = max(axis.length for axis in axes)
    return [axis._replace(length=length) for axis in axes]


def _axis(low: int, padded: int, valid: int, start: int, stop: int) -> Axis:
    """Resizing of ``low`` cells to ``padded``, cut to ``valid``, to pixels ``start..stop``."""
    outer, outer_weight = _bilinear(valid, stop - start)
    inner, inner_weight = _bilinear(low, padded)
    # every pixel takes two padded cells, each of them two low-res cells
    cells = inner[outer].flatten(1)
    weights = (inner_weight[outer] * outer_weight[:, :, None]).flatten(1)
    return Axis(cells, weights, low, start, stop)


def _bilinear(source: int, target: int) -> tuple[Tensor, Tensor]:
    """Cells and weights of bilinear resizing (align_corners=False), both ``(target, 2)``."""
    scale = torch.tensor(source, dtype=torch.float32) / target
    place = (torch.arange(target, dtype=torch.float32) + 0.5) * scale - 0.5
    place = place.clamp(min=0)
    low = place.long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    weight = place - low
    return torch.stack([low, high], dim=1), torch.stack([1 - weight, weight], dim=1)
