"""From masks of queries to semantic, panoptic and instance results.

The rules are those of Mask2Former (Cheng et al., CVPR 2022, section 3 and its
released code). A picture is cut into blocks, and the low-resolution logits bound
the probability of every mask in every block. That settles most blocks without a
look at their pixels; the others are computed for those queries and classes that can
make a difference there. So memory grows with neither queries x pixels nor
classes x pixels of the full size.
"""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.fusion.entities import look_up
from mmentity.models.fusion.geometry import ROUNDING, Blocks, ViewGeometry, block_side
from mmentity.structures.rle import encode_patches

# pixels that the mask of one query is made of at a time
STRIP_PIXELS = 1 << 22
# longest side of a block, px
BLOCK_SIDE = 64
# what rounding can do to a score that is a sum over queries, at most
ROUNDING_OF_SUMS = 1e-4
# what queries that are left out of a block may do to a score: less than rounding does
NEGLIGIBLE = 1e-7


class PanopticSegments(NamedTuple):
    """The panoptic segments of one picture.

    Attributes:
        segments: int32 ``(H0, W0)``, 0 = none, k = the k-th segment.
        labels: Class of each segment, a list of int.
    """

    segments: Tensor
    labels: list


class InstanceMasks(NamedTuple):
    """Masks of queries of one picture, which may overlap.

    Attributes:
        rles: COCO RLE of each query.
        areas: Pixels, int64 ``(N,)``.
        prob_sums: Sum of the probability over these pixels, float64 ``(N,)``.
        boxes_xyxy_px: Tight boxes, int64 ``(N, 4)``; 0 for an empty mask.
    """

    rles: list
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
        class_probs: Of the queries that are looked at, ``(N, classes)``.
        mask_logits: float32 ``(Q, V, h, w)``.
        geometry: Where the views lie in the picture.
        box: xyxy px.
        queries: Numbers of the queries that are looked at, int64 ``(N,)``; by
            default all.

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
        geometry: Where the views lie in the picture.
        block_values: As in :func:`mmentity.models.fusion.entities.fuse_entities`.

    Returns:
        Classes int32 ``(H0, W0)``.
    """
    mask_logits, class_probs = mask_logits.float(), class_probs.float()
    blocks = geometry.blocks(
        mask_logits, block_side(BLOCK_SIDE, sum(class_probs.shape), block_values)
    )
    best, candidates = _candidate_classes(class_probs, blocks)
    classes = blocks.spread(best)
    middle = (blocks.lower + blocks.upper) / 2
    half_width = (blocks.upper - blocks.lower) / 2
    for block, box in blocks.boxes(candidates.sum(dim=0) > 1):
        possible = torch.nonzero(candidates[(slice(None), *block)]).flatten()
        weights = class_probs[:, possible]
        sway = (weights.amax(dim=1) - weights.amin(dim=1)) * half_width[(slice(None), *block)]
        by_sway = sway.sort()
        queries = by_sway.indices[by_sway.values.cumsum(dim=0) > NEGLIGIBLE]
        left_out = middle[(slice(None), *block)].index_fill(0, queries, 0.0)
        scores = semantic_scores(weights[queries], mask_logits, geometry, box, queries)
        scores += (left_out @ weights)[:, None, None]
        x0, y0, x1, y1 = box
        classes[y0:y1, x0:x1] = possible[scores.argmax(dim=0)]
    return classes


def _candidate_classes(class_probs: Tensor, blocks: Blocks) -> tuple:
    """Bound how far a class can fall behind another in a block.

    Returns:
        A class that is best at the middle of the bounds, int32
        ``(rows, columns)``, and which classes can be best at some pixel, bool
        ``(classes, rows, columns)``.
    """
    lower, upper = blocks.lower.flatten(1), blocks.upper.flatten(1)
    best = (class_probs.T @ (lower + upper)).argmax(dim=0)
    candidates = torch.zeros((class_probs.shape[1], len(best)), dtype=torch.bool)
    candidates = candidates.to(best.device)
    for label in best.unique().tolist():
        own = torch.nonzero(best == label).flatten()
        lead = class_probs[:, label, None] - class_probs
        least = lead.clamp(min=0).T @ lower[:, own] + lead.clamp(max=0).T @ upper[:, own]
        candidates[:, own] = least <= ROUNDING_OF_SUMS
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
    own mask (probability of 0.5 or more); a segment is what it wins of that mask.
    Things are segments of their own, stuff of one class is one segment.

    Args:
        scores: Class scores of the queries that take part, ``(K,)``.
        labels: Class of each, K ints.
        mask_logits: ``(K, V, h, w)``.
        geometry: Where the views lie in the picture.
        num_things_classes: Classes below this number are things.
        iou_thr: As above, 0..1.
        block_values: As in :func:`mmentity.models.fusion.entities.fuse_entities`.
    """
    if len(scores) == 0:
        shape = (geometry.height, geometry.width)
        return PanopticSegments(
            torch.zeros(shape, dtype=torch.int32, device=mask_logits.device), []
        )
    segments, won, own = _win_pixels(scores, mask_logits.float(), geometry, block_values)
    kept = segments.flatten().bincount(minlength=len(scores) + 1)[1:]
    segment_of = torch.zeros(len(scores) + 1, dtype=torch.int32, device=mask_logits.device)
    segment_labels, segment_of_stuff = [], {}
    passes = (kept > 0) & (won.double() / own >= iou_thr)
    for k in torch.nonzero(passes).flatten().tolist():
        label = int(labels[k])
        number = segment_of_stuff.get(label)
        if number is None:
            segment_labels.append(label)
            number = len(segment_labels)
        if label >= num_things_classes:
            segment_of_stuff[label] = number
        segment_of[k + 1] = number
    return PanopticSegments(look_up(segments, segment_of), segment_labels)


def _win_pixels(
    scores: Tensor, mask_logits: Tensor, geometry: ViewGeometry, block_values: Optional[int]
) -> tuple:
    """Find the winner of each pixel, and the pixels of each mask.

    Returns:
        Winners int32 ``(H0, W0)``, k + 1 where query k wins a pixel of its own
        mask and 0 elsewhere; pixels that each query wins, and pixels of each
        mask, int64 ``(K,)``.
    """
    blocks = geometry.blocks(mask_logits, block_side(BLOCK_SIDE, 2 * len(scores), block_values))
    lower, upper, weights = blocks.lower, blocks.upper, scores[:, None, None]
    can_win = upper * weights >= (lower * weights).amax(dim=0) - ROUNDING
    crosses = (upper >= 0.5 - ROUNDING) & (lower < 0.5 + ROUNDING)
    inside = lower >= 0.5
    settled = (can_win.sum(dim=0) == 1) & ~crosses.any(dim=0)
    winner = can_win.int().argmax(dim=0)
    winners = ((winner + 1) * inside.gather(0, winner[None])[0] * settled).int()
    won = winner[settled].bincount(blocks.areas[settled].double(), minlength=len(scores)).long()
    own = (inside & ~crosses).flatten(1).long() @ blocks.areas.flatten()
    segments = blocks.spread(winners)
    for block, (x0, y0, x1, y1) in blocks.boxes(~settled):
        crossing, winning = (flags[(slice(None), *block)] for flags in (crosses, can_win))
        queries = torch.nonzero(crossing | winning).flatten()
        probs = geometry.probs(mask_logits, (x0, y0, x1, y1), queries)
        in_mask = probs >= 0.5
        own[queries] += in_mask.flatten(1).sum(dim=1) * crossing[queries]
        values = probs * scores[queries, None, None]
        best = values.argmax(dim=0)
        number = queries[best]
        won += number.flatten().bincount(minlength=len(scores))
        segments[y0:y1, x0:x1] = (number + 1) * in_mask.gather(0, best[None])[0]
    return segments, won, own


def fuse_instances(mask_logits: Tensor, geometry: ViewGeometry) -> InstanceMasks:
    """Make the mask of every query by itself: its pixels of a probability above 0.5.

    Args:
        mask_logits: ``(N, V, h, w)``.
        geometry: Where the views lie in the picture.
    """
    mask_logits = mask_logits.float()
    num_queries, device = len(mask_logits), mask_logits.device
    areas = torch.zeros(num_queries, dtype=torch.int64, device=device)
    prob_sums = torch.zeros(num_queries, dtype=torch.float64, device=device)
    extents = Extents(num_queries, geometry.height, geometry.width, device)
    reach = geometry.reachable_boxes(mask_logits > 0).tolist()
    rles = []
    for q, (x0, y0, x1, y1) in enumerate(reach):
        patches = []
        for top, bottom in geometry.strips(STRIP_PIXELS):
            box = (x0, max(y0, top), x1, min(y1, bottom))
            if box[1] >= box[3] or x0 >= x1:
                continue
            probs = geometry.probs(mask_logits[q], box)
            inside = probs > 0.5
            areas[q] += inside.sum()
            prob_sums[q] += probs.mul_(inside).sum(dtype=torch.float64)
            extents.add(q, inside, x0, box[1])
            patches.append((inside.cpu().numpy(), x0, box[1]))
        rles.append(encode_patches(patches, geometry.height, geometry.width))
    return InstanceMasks(rles, areas, prob_sums, extents.boxes_xyxy_px())


class Extents:
    """Tight boxes of masks that come in patches.

    Args:
        num_masks: Number of masks N.
        height: Height of the picture, px.
        width: Width of the picture, px.
        device: Where the masks are.
    """

    def __init__(self, num_masks: int, height: int, width: int, device: torch.device) -> None:
        self.rows = torch.zeros((num_masks, height), dtype=torch.bool, device=device)
        self.columns = torch.zeros((num_masks, width), dtype=torch.bool, device=device)

    def add(self, k: int, mask: Tensor, x0: int, y0: int) -> None:
        """Add a patch of the k-th mask, bool ``(h, w)`` at ``(x0, y0)``."""
        height, width = mask.shape
        self.rows[k, y0 : y0 + height] |= mask.any(dim=1)
        self.columns[k, x0 : x0 + width] |= mask.any(dim=0)

    def boxes_xyxy_px(self) -> Tensor:
        """Boxes int64 ``(N, 4)``; 0 for an empty mask."""
        (x0, x1), (y0, y1) = (_ends(seen) for seen in (self.columns, self.rows))
        return torch.stack([x0, y0, x1, y1], dim=1)


def _ends(seen: Tensor) -> tuple:
    """First and past-the-last True of each row of ``(N, length)``; 0 where there is none."""
    numbers = seen.to(torch.uint8)
    first = numbers.argmax(dim=1)
    last = seen.shape[1] - numbers.flip(1).argmax(dim=1)
    return first, torch.where(seen.any(dim=1), last, 0)
