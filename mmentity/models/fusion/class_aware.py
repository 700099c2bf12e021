"""From masks of queries to semantic, panoptic and instance results.

The rules are those of Mask2Former (Cheng et al., CVPR 2022, section 3 and its
released code). An image is cut into blocks, and the low-resolution logits bound
the probability of every mask in every block. That settles most blocks without
computing their pixels; the others are computed for those queries and classes that can
make a difference there. So memory grows with neither queries x pixels nor
classes x pixels of the full size.
"""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from pycocotools import mask as mask_utils
from torch import Tensor

from mmentity.models.fusion.blocks import Blocks, block_side, bound_blocks
from mmentity.models.fusion.entities import look_up
from mmentity.models.fusion.geometry import ROUNDING, ViewGeometry
from mmentity.structures.rle import Rle, encode_patches

# pixels that the mask of one query is made of at a time
STRIP_PIXELS = 1 << 22
# longest side of a block, px
BLOCK_SIDE = 64
# what rounding can do to a score that is a sum over queries, at most
ROUNDING_OF_SUMS = 1e-4
# what all queries that a block skips may change a score by: less than rounding does
NEGLIGIBLE = 1e-7


class PanopticSegments(NamedTuple):
    """The panoptic segments of one image.

    Attributes:
        segments: int32 ``(H0, W0)``, 0 = none, k = the k-th segment.
        labels: Class of each segment.
    """

    segments: Tensor
    labels: list[int]


class InstanceMasks(NamedTuple):
    """Masks of queries of one image, which may overlap.

    Attributes:
        rles: COCO RLE of each query.
        areas: Pixels, int64 ``(N,)``.
        prob_sums: Sum of the probability over these pixels, float64 ``(N,)``.
        boxes_xyxy_px: Tight boxes, int64 ``(N, 4)``; 0 for an empty mask.
    """

    rles: list[Rle]
    areas: Tensor
    prob_sums: Tensor
    boxes_xyxy_px: Tensor


def semantic_scores(
    class_probs: Tensor,
    mask_logits: Tensor,
    geometry: ViewGeometry,
    box: Sequence[int],
    queries: Optional[Tensor] = None,
) -> Tensor:
    """Score classes at every pixel of a box.

    The score of a class is the sum over the queries of class probability times
    mask probability.

    Args:
        class_probs: Of the queries that count, ``(N, classes)``.
        mask_logits: float32 ``(Q, V, h, w)``.
        geometry: Where the views lie in the image.
        box: xyxy px.
        queries: Numbers of the queries that count, int64 ``(N,)``; by default all.

    Returns:
        float32 ``(classes, rows, columns)``.
    """
    probs = geometry.probs(mask_logits, box, queries)
    return (class_probs.T @ probs.flatten(1)).unflatten(1, probs.shape[1:])


def fuse_semantic(
    class_probs: Tensor,
    mask_logits: Tensor,
    geometry: ViewGeometry,
    block_values: Optional[int] = None,
) -> Tensor:
    """Give every pixel the class of the highest score.

    Args:
        class_probs: ``(Q, classes)``.
        mask_logits: ``(Q, V, h, w)``.
        geometry: Where the views lie in the image.
        block_values: As in :func:`mmentity.models.fusion.entities.fuse_entities`.

    Returns:
        Classes int32 ``(H0, W0)``.
    """
    mask_logits, class_probs = mask_logits.float(), class_probs.float()
    side = block_side(BLOCK_SIDE, sum(class_probs.shape), block_values)
    blocks = bound_blocks(mask_logits, geometry, side)
    best, candidates = _candidate_classes(class_probs, blocks)
    classes = blocks.to_pixels(best)
    middle = (blocks.lower + blocks.upper) / 2
    half_width = (blocks.upper - blocks.lower) / 2
    for row, column, box in blocks.select(candidates.sum(dim=0) > 1):
        possible = torch.nonzero(candidates[:, row, column]).flatten()
        weights = class_probs[:, possible]
        # how far the place of a mask between its bounds can move two scores apart
        effect = (weights.amax(dim=1) - weights.amin(dim=1)) * half_width[:, row, column]
        ascending = effect.sort()
        queries = ascending.indices[ascending.values.cumsum(dim=0) > NEGLIGIBLE]
        scores = semantic_scores(weights[queries], mask_logits, geometry, box, queries)
        # the other queries count with the middle of their bounds
        constant = middle[:, row, column].index_fill(0, queries, 0.0)
        scores += (constant @ weights)[:, None, None]
        x0, y0, x1, y1 = box
        classes[y0:y1, x0:x1] = possible[scores.argmax(dim=0)]
    return classes


def _candidate_classes(class_probs: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor]:
    """Bound how far a class can fall behind another in a block.

    Returns:
        Class that is best at the middle of the bounds, int32 ``(rows, columns)``, and
        which classes can be best at some pixel, bool ``(classes, rows, columns)``.
    """
    lower, upper = blocks.lower.flatten(1), blocks.upper.flatten(1)
    best = (class_probs.T @ (lower + upper)).argmax(dim=0)
    candidates = torch.zeros(
        (class_probs.shape[1], len(best)), dtype=torch.bool, device=best.device
    )
    for label in best.unique().tolist():
        places = torch.nonzero(best == label).flatten()
        lead = class_probs[:, label, None] - class_probs
        least = lead.clamp(min=0).T @ lower[:, places] + lead.clamp(max=0).T @ upper[:, places]
        candidates[:, places] = least <= ROUNDING_OF_SUMS
    shape = blocks.lower.shape[1:]
    return best.view(shape).int(), candidates.view(-1, *shape)


def fuse_panoptic(
    scores: Tensor,
    labels: Sequence[int],
    mask_logits: Tensor,
    geometry: ViewGeometry,
    num_things_classes: int,
    iou_thr: float = 0.8,
    block_values: Optional[int] = None,
) -> PanopticSegments:
    """Give every pixel to the query of the highest score times probability.

    A query becomes a segment if it keeps at least the share ``iou_thr`` of its
    mask (probability of 0.5 or more); a segment is what it wins of that mask.
    Each thing is a segment by itself, stuff of one class is one segment.

    Args:
        scores: Class scores of the queries that take part, ``(K,)``.
        labels: Class of each, K ints.
        mask_logits: ``(K, V, h, w)``.
        geometry: Where the views lie in the image.
        num_things_classes: Classes below this number are things.
        iou_thr: As above, 0..1.
        block_values: As in :func:`mmentity.models.fusion.entities.fuse_entities`.
    """
    device = mask_logits.device
    if len(scores) == 0:
        shape = (geometry.height, geometry.width)
        return PanopticSegments(torch.zeros(shape, dtype=torch.int32, device=device), [])
    winners = _win_pixels(scores, mask_logits.float(), geometry, block_values)
    kept = winners.map.flatten().bincount(minlength=len(scores) + 1)[1:]
    passes = (kept > 0) & (winners.won_areas.double() / winners.mask_areas >= iou_thr)
    segment_of = torch.zeros(len(scores) + 1, dtype=torch.int32, device=device)
    segment_labels: list[int] = []
    segment_of_stuff: dict[int, int] = {}
    for k in torch.nonzero(passes).flatten().tolist():
        label = int(labels[k])
        number = segment_of_stuff.get(label)
        if number is None:
            segment_labels.append(label)
            number = len(segment_labels)
        if label >= num_things_classes:
            segment_of_stuff[label] = number
        segment_of[k + 1] = number
    return PanopticSegments(look_up(winners.map, segment_of), segment_labels)


class _Winners(NamedTuple):
    """Which query wins each pixel.

    Attributes:
        map: int32 ``(H0, W0)``, k + 1 where query k wins a pixel of its mask, else 0.
        won_areas: Pixels that each query wins, in its mask or not, int64 ``(K,)``.
        mask_areas: Pixels of each mask, int64 ``(K,)``.
    """

    map: Tensor
    won_areas: Tensor
    mask_areas: Tensor


def _win_pixels(
    scores: Tensor, mask_logits: Tensor, geometry: ViewGeometry, block_values: Optional[int]
) -> _Winners:
    """Find the winner of each pixel, and the pixels of each mask."""
    side = block_side(BLOCK_SIDE, 2 * len(scores), block_values)
    blocks = bound_blocks(mask_logits, geometry, side)
    lower, upper, weights = blocks.lower, blocks.upper, scores[:, None, None]
    can_win = upper * weights >= (lower * weights).amax(dim=0) - ROUNDING
    is_partial = (upper >= 0.5 - ROUNDING) & (lower < 0.5 + ROUNDING)
    is_full = lower >= 0.5
    settled = (can_win.sum(dim=0) == 1) & ~is_partial.any(dim=0)
    winner = can_win.int().argmax(dim=0)
    winner_map = ((winner + 1) * is_full.gather(0, winner[None])[0] * settled).int()
    # counts are exact in float64, and CUDA multiplies no matrices of integers
    areas = blocks.areas.double()
    won_areas = winner[settled].bincount(areas[settled], minlength=len(scores)).long()
    mask_areas = ((is_full & ~is_partial).flatten(1).double() @ areas.flatten()).long()
    winners = _Winners(blocks.to_pixels(winner_map), won_areas, mask_areas)
    for row, column, (x0, y0, x1, y1) in blocks.select(~settled):
        partial = is_partial[:, row, column]
        queries = torch.nonzero(partial | can_win[:, row, column]).flatten()
        probs = geometry.probs(mask_logits, (x0, y0, x1, y1), queries)
        in_mask = probs >= 0.5
        mask_areas[queries] += in_mask.flatten(1).sum(dim=1) * partial[queries]
        best = (probs * scores[queries, None, None]).argmax(dim=0)
        query = queries[best]
        won_areas += query.flatten().bincount(minlength=len(scores))
        winners.map[y0:y1, x0:x1] = (query + 1) * in_mask.gather(0, best[None])[0]
    return winners


def fuse_instances(mask_logits: Tensor, geometry: ViewGeometry) -> InstanceMasks:
    """Make the mask of every query by itself: its pixels of a probability above 0.5.

    Args:
        mask_logits: ``(N, V, h, w)``.
        geometry: Where the views lie in the image.
    """
    mask_logits = mask_logits.float()
    device = mask_logits.device
    prob_sums = torch.zeros(len(mask_logits), dtype=torch.float64, device=device)
    blocks = bound_blocks(mask_logits, geometry, BLOCK_SIDE)
    rles = []
    for q, is_possible in enumerate(blocks.upper > 0.5 - ROUNDING):
        x0, y0, x1, y1 = blocks.box_around(is_possible)
        patches = []
        step = max(1, STRIP_PIXELS // max(x1 - x0, 1))
        for top in range(y0, y1, step):
            probs = geometry.probs(mask_logits[q], (x0, top, x1, min(top + step, y1)))
            in_mask = probs > 0.5
            prob_sums[q] += probs.mul_(in_mask).sum(dtype=torch.float64)
            patches.append((in_mask.cpu().numpy(), x0, top))
        rles.append(encode_patches(patches, geometry.height, geometry.width))
    boxes = torch.zeros((len(rles), 4), dtype=torch.int64)
    areas = torch.zeros(len(rles), dtype=torch.int64)
    if rles:
        areas = torch.from_numpy(mask_utils.area(rles).astype('int64'))
        boxes = torch.from_numpy(mask_utils.toBbox(rles).astype('int64'))
        boxes[:, 2:] += boxes[:, :2]
    return InstanceMasks(rles, areas.to(device), prob_sums, boxes.to(device))
