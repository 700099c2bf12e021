"""From the masks of several views to one map of entities.

The official release resizes every mask of every view to full size, applies a
sigmoid, averages the views that cover a pixel, and gives a pixel to the query
of the highest class score among those above 0.5 (CropFormer, section 4.3). Here
the same is computed query by query inside the box that the query can reach. In
descending class score a pixel is settled by the first query that claims it, so
one id map and a strip of probabilities are all the memory it takes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmentity.models.view_geometry import ViewGeometry

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


def fuse_entities(
    mask_logits: Tensor,
    geometry: ViewGeometry,
    mask_thr: float = 0.5,
    sigmoid_twice: bool = True,
) -> FusedMasks:
    """Fuse the masks of one picture into disjoint ones.

    Args:
        mask_logits: ``(Q, V, h, w)`` at stride 4 of the padded input, queries in
            descending class score.
        geometry: Where the views lie in the picture.
        mask_thr: A pixel belongs to a mask where the fused probability is
            larger; at least 0.5.
        sigmoid_twice: Whether ``prob_sums`` are sums of the sigmoid of the
            probability, as in the official release.

    Raises:
        ValueError: If ``mask_thr`` is below 0.5.
    """
    if not 0.5 <= mask_thr < 1:
        raise ValueError(f'mask_thr is {mask_thr}; it must be at least 0.5 and below 1')
    num_queries, device = len(mask_logits), mask_logits.device
    mask_logits = mask_logits.float()
    reach = geometry.reachable_boxes(mask_logits)
    owners = torch.zeros((geometry.height, geometry.width), dtype=torch.int32, device=device)
    areas = torch.zeros(num_queries, dtype=torch.int64, device=device)
    prob_sums = torch.zeros(num_queries, dtype=torch.float64, device=device)
    boxes = torch.tensor([geometry.width, geometry.height, 0, 0], device=device)
    boxes = boxes.repeat(num_queries, 1)
    for top, bottom in geometry.strips(STRIP_PIXELS):
        for q, (x0, y0, x1, y1) in enumerate(reach):
            y0, y1 = max(y0, top), min(y1, bottom)
            if y0 >= y1 or x0 >= x1:
                continue
            probs = geometry.probs(mask_logits[q], (x0, y0, x1, y1))
            owned = owners[y0:y1, x0:x1]
            claimed = (probs > mask_thr) & (owned == 0)
            if not claimed.any():
                continue
            owned[claimed] = q + 1
            values = probs[claimed]
            prob_sums[q] += (values.sigmoid() if sigmoid_twice else values).double().sum()
            areas[q] += values.numel()
            grow_box(boxes[q], claimed, x0, y0)
    boxes[areas == 0] = 0
    return FusedMasks(owners, areas, prob_sums, boxes)


def grow_box(box: Tensor, claimed: Tensor, x0: int, y0: int) -> None:
    """Grow a box ``(4,)`` in place by the pixels of a patch at ``(x0, y0)``."""
    xs = torch.nonzero(claimed.any(dim=0)).squeeze(1) + x0
    ys = torch.nonzero(claimed.any(dim=1)).squeeze(1) + y0
    box[:2] = torch.minimum(box[:2], torch.stack([xs[0], ys[0]]))
    box[2:] = torch.maximum(box[2:], torch.stack([xs[-1], ys[-1]]) + 1)


def look_up(ids: Tensor, table: Tensor) -> Tensor:
    """Replace each value k of a map ``(H, W)`` by ``table[k]``, in place."""
    for strip in ids.split(256):
        strip.copy_(table[strip.long()])
    return ids
