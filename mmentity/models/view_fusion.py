"""From low-resolution mask logits of several views to one map at full size.

The official release resizes every mask of every view to full size, applies a
sigmoid, averages the views that cover a pixel, and gives a pixel to the query
of the highest class score among those above 0.5 (CropFormer, section 4.3). Here
the same is computed query by query inside the box that the query can reach:

* Resizing the logits (stride 4 -> padded input, cut to the view, -> the view's
  box in the picture) is linear and separable, so it is one matrix for the rows
  and one for the columns of each view.
* Bilinear values are convex combinations: a query cannot own a pixel where all
  the logits around it are <= 0 on every view. The matrices tell which pixels a
  positive logit reaches.
* In descending class score a pixel is settled by the first query that claims
  it, so one id map and a strip of probabilities are all the memory it takes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

STRIP_PIXELS = 1 << 22


class FusedMasks(NamedTuple):
    """Disjoint masks of the queries of one picture.

    Attributes:
        owners: int32 ``(H0, W0)``, 0 = none, k = the k-th query of the order.
        areas: Pixels of each query in that order, int64 ``(Q,)``.
        prob_sums: Sum over these pixels of the fused probability, or of the
            sigmoid of it, float64 ``(Q,)``.
        boxes_xyxy_px: Tight boxes, int64 ``(Q, 4)``; 0 for an empty mask.
    """

    owners: Tensor
    areas: Tensor
    prob_sums: Tensor
    boxes_xyxy_px: Tensor


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


def fuse_views(
    mask_logits: Tensor,
    view_boxes: Sequence[Sequence[int]],
    view_shapes: Sequence[Sequence[int]],
    padded_shape: Sequence[int],
    ori_shape: Sequence[int],
    mask_thr: float = 0.5,
    sigmoid_twice: bool = True,
) -> FusedMasks:
    """Fuse the masks of one picture.

    Args:
        mask_logits: ``(Q, V, h, w)`` at stride 4 of the padded input, queries in
            descending class score.
        view_boxes: Box of each view in the picture, xyxy px; ``(V, 4)``.
        view_shapes: Height and width of each view after resizing, before
            padding; ``(V, 2)`` px.
        padded_shape: Height and width of the padded input, px.
        ori_shape: Height and width of the picture, px.
        mask_thr: A pixel belongs to a mask where the fused probability is
            larger; at least 0.5.
        sigmoid_twice: Whether ``prob_sums`` are sums of the sigmoid of the
            probability, as in the official release.

    Raises:
        ValueError: If the numbers of views differ or ``mask_thr`` is below 0.5.
    """
    num_queries, num_views = mask_logits.shape[:2]
    if not num_views == len(view_boxes) == len(view_shapes):
        raise ValueError(
            f'the model gives masks on {num_views} views, the sample has {len(view_boxes)} boxes '
            f'and {len(view_shapes)} shapes of views; train and test with the same pipeline'
        )
    if not 0.5 <= mask_thr < 1:
        raise ValueError(f'mask_thr is {mask_thr}; it must be at least 0.5 and below 1')
    height, width = (int(side) for side in ori_shape[:2])
    mask_logits = mask_logits.float()
    device = mask_logits.device
    rows, columns = (
        [
            _axis(
                low, int(padded), int(shape[axis]), int(box[1 - axis]), int(box[3 - axis]), device
            )
            for box, shape in zip(view_boxes, view_shapes)
        ]
        for axis, (low, padded) in enumerate(zip(mask_logits.shape[-2:], padded_shape))
    )
    reach = _reachable_boxes(mask_logits, rows, columns)

    owners = torch.zeros((height, width), dtype=torch.int32, device=device)
    areas = torch.zeros(num_queries, dtype=torch.int64, device=device)
    prob_sums = torch.zeros(num_queries, dtype=torch.float64, device=device)
    boxes = torch.tensor([width, height, 0, 0], device=device).repeat(num_queries, 1)
    for top, bottom in _strips(height, width):
        for q, (x0, y0, x1, y1) in enumerate(reach):
            y0, y1 = max(y0, top), min(y1, bottom)
            if y0 >= y1 or x0 >= x1:
                continue
            probs = _fused_probs(mask_logits[q], rows, columns, x0, y0, x1, y1)
            owned = owners[y0:y1, x0:x1]
            claimed = (probs > mask_thr) & (owned == 0)
            if not claimed.any():
                continue
            owned[claimed] = q + 1
            values = probs[claimed]
            prob_sums[q] += (values.sigmoid() if sigmoid_twice else values).double().sum()
            areas[q] += values.numel()
            _grow_box(boxes[q], claimed, x0, y0)
    boxes[areas == 0] = 0
    return FusedMasks(owners, areas, prob_sums, boxes)


def _strips(height: int, width: int) -> Iterator[tuple]:
    """Cut a picture into strips of rows of about ``STRIP_PIXELS`` pixels."""
    step = max(1, STRIP_PIXELS // max(width, 1))
    for top in range(0, height, step):
        yield top, min(top + step, height)


def _fused_probs(
    logits: Tensor, rows: list, columns: list, x0: int, y0: int, x1: int, y1: int
) -> Tensor:
    """Probability of one query inside a box, averaged over the views that cover a pixel.

    Args:
        logits: ``(V, h, w)``.
        rows: Vertical axis of each view.
        columns: Horizontal axis of each view.
        x0: Left of the box; ``y0``, ``x1``, ``y1`` likewise, px.

    Returns:
        float32 ``(y1 - y0, x1 - x0)``.
    """
    total = logits.new_zeros((y1 - y0, x1 - x0))
    count = logits.new_zeros((y1 - y0, x1 - x0), dtype=torch.uint8)
    for view_logits, row, column in zip(logits, rows, columns):
        top, bottom = max(y0, row.start), min(y1, row.stop)
        left, right = max(x0, column.start), min(x1, column.stop)
        if top >= bottom or left >= right:
            continue
        row_weights = row.matrix[top - row.start : bottom - row.start]
        column_weights = column.matrix[left - column.start : right - column.start]
        resized = torch.linalg.multi_dot([row_weights, view_logits, column_weights.T])
        inside = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
        total[inside] += resized.sigmoid_()
        count[inside] += 1
    return total.div_(count)


def _reachable_boxes(mask_logits: Tensor, rows: list, columns: list) -> list:
    """Box xyxy px of each query outside of which no pixel can be above 0.5."""
    positive = mask_logits > 0
    limits = []
    for axes, cells in ((columns, positive.any(dim=2)), (rows, positive.any(dim=3))):
        first = torch.stack([axis.first for axis in axes])
        last = torch.stack([axis.last for axis in axes])
        far = torch.iinfo(first.dtype).max
        limits.append(torch.where(cells, first, far).amin(dim=(1, 2)))
        limits.append(torch.where(cells, last, 0).amax(dim=(1, 2)))
    x0, x1, y0, y1 = limits
    return torch.stack([x0, y0, x1, y1], dim=1).tolist()


def _grow_box(box: Tensor, claimed: Tensor, x0: int, y0: int) -> None:
    """Grow a box ``(4,)`` in place by the pixels of a patch at ``(x0, y0)``."""
    xs = torch.nonzero(claimed.any(dim=0)).squeeze(1) + x0
    ys = torch.nonzero(claimed.any(dim=1)).squeeze(1) + y0
    box[:2] = torch.minimum(box[:2], torch.stack([xs[0], ys[0]]))
    box[2:] = torch.maximum(box[2:], torch.stack([xs[-1], ys[-1]]) + 1)


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
