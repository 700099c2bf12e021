"""From masks of queries to semantic, panoptic and instance results.

The rules are those of Mask2Former (Cheng et al., CVPR 2022, section 3 and its
released code). A picture is worked through in strips of rows, so that memory
grows with neither queries x pixels nor classes x pixels of the full size.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.view_fusion import Extents, look_up
from mmentity.models.view_geometry import ViewGeometry
from mmentity.structures.rle import encode_patches

# pixels that the mask of one query is made of at a time
STRIP_PIXELS = 1 << 22
# values that a strip of all queries and classes holds at a time
STRIP_VALUES = 1 << 24


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


def semantic_strips(
    class_probs: Tensor,
    mask_logits: Tensor,
    geometry: ViewGeometry,
    strip_values: Optional[int] = None,
) -> Iterator[tuple]:
    """Score every class at every pixel, strip by strip.

    The score of a class is the sum over the queries of class probability times
    mask probability.

    Args:
        class_probs: ``(Q, classes)``.
        mask_logits: ``(Q, V, h, w)``.
        geometry: Where the views lie in the picture.
        strip_values: Most values that are held at a time. Defaults to
            ``STRIP_VALUES``.

    Yields:
        First and past-the-last row, and scores ``(classes, rows, W0)``.
    """
    mask_logits = mask_logits.float()
    weights = class_probs.float().T
    strip_values = strip_values or STRIP_VALUES
    for top, bottom in geometry.strips(strip_values // sum(class_probs.shape)):
        probs = geometry.probs(mask_logits, (0, top, geometry.width, bottom))
        yield top, bottom, (weights @ probs.flatten(1)).unflatten(1, probs.shape[1:])


def fuse_semantic(
    class_probs: Tensor,
    mask_logits: Tensor,
    geometry: ViewGeometry,
    strip_values: Optional[int] = None,
) -> Tensor:
    """Give every pixel the class of the highest score.

    Args:
        class_probs: ``(Q, classes)``.
        mask_logits: ``(Q, V, h, w)``.
        geometry: Where the views lie in the picture.
        strip_values: As in :func:`semantic_strips`.

    Returns:
        Classes int32 ``(H0, W0)``.
    """
    shape = (geometry.height, geometry.width)
    classes = torch.zeros(shape, dtype=torch.int32, device=mask_logits.device)
    strips = semantic_strips(class_probs, mask_logits, geometry, strip_values)
    for top, bottom, scores in strips:
        classes[top:bottom] = scores.argmax(dim=0)
    return classes


def fuse_panoptic(
    scores: Tensor,
    labels: Sequence[int],
    mask_logits: Tensor,
    geometry: ViewGeometry,
    num_things_classes: int,
    iou_thr: float = 0.8,
    strip_values: Optional[int] = None,
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
        strip_values: As in :func:`semantic_strips`.
    """
    num_queries, device = len(scores), mask_logits.device
    segments = torch.zeros((geometry.height, geometry.width), dtype=torch.int32, device=device)
    if num_queries == 0:
        return PanopticSegments(segments, [])
    mask_logits = mask_logits.float()
    won, own, kept = torch.zeros((3, num_queries), dtype=torch.int64, device=device)
    strip_values = strip_values or STRIP_VALUES
    for top, bottom in geometry.strips(strip_values // num_queries):
        probs = geometry.probs(mask_logits, (0, top, geometry.width, bottom))
        winner, own_prob = torch.zeros_like(probs[0], dtype=torch.int32), probs[0]
        best = probs[0] * scores[0]
        own[0] += (probs[0] >= 0.5).sum()
        for k in range(1, num_queries):
            own[k] += (probs[k] >= 0.5).sum()
            value = probs[k] * scores[k]
            better = value > best
            best = torch.maximum(best, value)
            winner.masked_fill_(better, k)
            own_prob = torch.where(better, probs[k], own_prob)
        inside = own_prob >= 0.5
        segments[top:bottom] = (winner + 1) * inside
        won += winner.flatten().bincount(minlength=num_queries)
        kept += segments[top:bottom].flatten().bincount(minlength=num_queries + 1)[1:]

    segment_of = torch.zeros(num_queries + 1, dtype=torch.int32, device=device)
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
