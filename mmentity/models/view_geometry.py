"""How low-resolution masks of the views of a picture cover the picture.

Resizing mask logits (stride 4 -> padded input, cut to the view, -> the view's
box in the picture) is linear and separable, so it is one matrix for the rows and
one for the columns of each view, and any box of the picture can be computed by
itself. Bilinear values are convex combinations: the matrices also tell which
pixels a positive logit reaches.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class _Axis(NamedTuple):
    """Resizing along one axis of one view.

    Attributes:
        matrix: Weights float32 ``(pixels of the view's box, low-res cells)``.
        first: First pixel that each low-res cell reaches, in the picture.
        last: One past the last pixel that each low-res cell reaches.
        start: Where the view's box starts in the picture.
        stop: Where it ends.
    """

    matrix: Tensor
    first: Tensor
    last: Tensor
    start: int
    stop: int


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

    def probs(self, mask_logits: Tensor, box: Sequence[int]) -> Tensor:
        """Probability of masks inside a box, averaged over the views that cover a pixel.

        Args:
            mask_logits: float32 ``(..., V, h, w)``.
            box: xyxy px.

        Returns:
            float32 ``(..., y1 - y0, x1 - x0)``.
        """
        x0, y0, x1, y1 = box
        shape = (y1 - y0, x1 - x0)
        total = mask_logits.new_zeros((*mask_logits.shape[:-3], *shape))
        count = mask_logits.new_zeros(shape, dtype=torch.uint8)
        for view, (row, column) in enumerate(zip(self.rows, self.columns)):
            top, bottom = max(y0, row.start), min(y1, row.stop)
            left, right = max(x0, column.start), min(x1, column.stop)
            if top >= bottom or left >= right:
                continue
            probs = _resize(
                mask_logits[..., view, :, :],
                row.matrix[top - row.start : bottom - row.start],
                column.matrix[left - column.start : right - column.start],
            ).sigmoid_()
            inside = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
            total[(..., *inside)] += probs
            count[inside] += 1
        return total.div_(count)

    def reachable_boxes(self, mask_logits: Tensor) -> list:
        """Box outside of which no pixel of a mask can have a probability above 0.5.

        Args:
            mask_logits: ``(Q, V, h, w)``.

        Returns:
            Q boxes xyxy px; empty ones have no positive side.
        """
        positive = mask_logits > 0
        limits = []
        for axes, cells in (
            (self.columns, positive.any(dim=2)),
            (self.rows, positive.any(dim=3)),
        ):
            first = torch.stack([axis.first for axis in axes])
            last = torch.stack([axis.last for axis in axes])
            far = torch.iinfo(first.dtype).max
            limits.append(torch.where(cells, first, far).amin(dim=(1, 2)))
            limits.append(torch.where(cells, last, 0).amax(dim=(1, 2)))
        x0, x1, y0, y1 = limits
        return torch.stack([x0, y0, x1, y1], dim=1).tolist()


def _resize(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``rows @ logits @ columns.T`` for logits ``(..., h, w)``, in the cheaper order."""
    (height, low_height), (width, low_width) = rows.shape, columns.shape
    rows_first = height * low_width * (low_height + width)
    columns_first = width * low_height * (low_width + height)
    if rows_first <= columns_first:
        return (rows @ logits) @ columns.T
    return rows @ (logits @ columns.T)


def _axis(low: int, padded: int, valid: int, start: int, stop: int, device: torch.device) -> _Axis:
    """Resizing of ``low`` cells to ``padded``, cut to ``valid``, to pixels ``start..stop``."""
    size = stop - start
    outer, outer_weight = _bilinear(valid, size, device)
    inner, inner_weight = _bilinear(low, padded, device)
    # every pixel takes two padded cells, each of them two low-res cells
    cells = inner[outer].flatten(1)
    weights = (inner_weight[outer] * outer_weight[:, :, None]).flatten(1)
    matrix = torch.zeros((size, low), device=device).scatter_add_(1, cells, weights)
    used = matrix > 0
    pixels = torch.arange(start, stop, device=device)[:, None]
    first = torch.where(used, pixels, torch.iinfo(torch.int64).max).amin(dim=0)
    last = torch.where(used, pixels + 1, 0).amax(dim=0)
    return _Axis(matrix, first, last, start, stop)


def _bilinear(source: int, target: int, device: torch.device) -> tuple:
    """Cells and weights of bilinear resizing (align_corners=False), both ``(target, 2)``."""
    scale = torch.tensor(source, dtype=torch.float32, device=device) / target
    place = (torch.arange(target, dtype=torch.float32, device=device) + 0.5) * scale - 0.5
    place = place.clamp(min=0)
    low = place.long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    weight = place - low
    return torch.stack([low, high], dim=1), torch.stack([1 - weight, weight], dim=1)
