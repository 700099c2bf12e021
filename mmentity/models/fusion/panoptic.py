"""From masks of queries to disjoint segments of things and stuff.

The rule is that of Mask2Former (Cheng et al., CVPR 2022, section 3 and its released
code). Bounds of the probabilities leave one query in most blocks of an image; in the
others, many of them together, queries are compared one after the other, so that memory
does not grow with queries x pixels of the full size.
"""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.fusion.blocks import (
    BlockGroup,
    BlockProbs,
    block_side,
    bound_blocks,
    count_values,
    first_of_greatest,
    grid_of,
)
from mmentity.models.fusion.entities import look_up
from mmentity.models.fusion.geometry import ROUNDING, ViewGeometry
from mmentity.models.transfers import move

# longest side of a block, px
BLOCK_SIDE = 64
# pixels of the blocks that are worked on together
CHUNK_PIXELS = 1 << 18


class PanopticSegments(NamedTuple):
    """The panoptic segments of one image.

    Attributes:
        segments: int32 ``(H0, W0)``, 0 = none, k = the k-th segment.
        labels: Class of each segment.
    """

    segments: Tensor
    labels: list[int]


def fuse_panoptic(
    scores: Tensor,
    labels: Sequence[int],
    mask_logits: Tensor,
    geometry: ViewGeometry,
    num_things_classes: int,
    iou_thr: float = 0.8,
    block_values: Optional[int] = None,
    dense: bool = False,
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
        dense: As there.
    """
    device, count = mask_logits.device, len(scores)
    if count == 0:
        shape = (geometry.height, geometry.width)
        return PanopticSegments(torch.zeros(shape, dtype=torch.int32, device=device), [])
    mask_logits = mask_logits.float()
    if dense:
        winners = _win_pixels_at_once(scores, mask_logits, geometry)
    else:
        winners = _win_pixels(scores, mask_logits, geometry, block_values)
    won = torch.zeros(2 * count + 1, dtype=torch.int64, device=device)
    for strip in winners.map.split(256):
        won += count_values(strip + count, len(won))
    kept = won[count + 1 :]
    won_areas = kept + won[:count].flip(0)
    passes = (kept > 0) & (won_areas.double() / winners.mask_areas >= iou_thr)
    is_segment = passes.tolist()
    segment_of = torch.zeros(len(won), dtype=torch.int32)
    segment_labels: list[int] = []
    segment_of_stuff: dict[int, int] = {}
    for k in range(count):
        if not is_segment[k]:
            continue
        label = int(labels[k])
        number = segment_of_stuff.get(label)
        if number is None:
            segment_labels.append(label)
            number = len(segment_labels)
        if label >= num_things_classes:
            segment_of_stuff[label] = number
        segment_of[count + 1 + k] = number
    return PanopticSegments(
        look_up(winners.map.add_(count), move(segment_of, device)), segment_labels
    )


class _Winners(NamedTuple):
    """Which query wins each pixel.

    Attributes:
        map: int32 ``(H0, W0)``, k + 1 where query k wins a pixel of its mask, -k - 1
            where it wins one outside.
        mask_areas: Pixels of each mask, int64 ``(K,)``.
    """

    map: Tensor
    mask_areas: Tensor


def _win_pixels_at_once(scores: Tensor, mask_logits: Tensor, geometry: ViewGeometry) -> _Winners:
    """Find the winner of each pixel from all masks at full size."""
    probs = geometry.probs(mask_logits, (0, 0, geometry.width, geometry.height))
    in_mask = probs >= 0.5
    winner = first_of_greatest(probs * scores[:, None, None], 0)
    signs = 2 * in_mask.gather(0, winner[None])[0].int() - 1
    return _Winners((winner + 1).int() * signs, in_mask.flatten(1).sum(dim=1))


def _win_pixels(
    scores: Tensor, mask_logits: Tensor, geometry: ViewGeometry, block_values: Optional[int]
) -> _Winners:
    """Find the winner of each pixel, and the pixels of each mask, block by block."""
    chunk_pixels = min(CHUNK_PIXELS, (block_values or 8 * CHUNK_PIXELS) // 8)
    grid = grid_of(geometry, block_side(BLOCK_SIDE, 1, max(1, chunk_pixels)))
    lower, upper = bound_blocks(mask_logits, grid)
    weights = scores[:, None, None]
    can_win = upper * weights >= (lower * weights).amax(dim=0) - ROUNDING
    is_partial = (upper >= 0.5 - ROUNDING) & (lower < 0.5 + ROUNDING)
    is_full = lower >= 0.5
    settled = (can_win.sum(dim=0) == 1) & ~is_partial.any(dim=0)
    winner = can_win.byte().argmax(dim=0)
    signs = 2 * is_full.gather(0, winner[None])[0].int() - 1
    # counts are exact in float64, and CUDA multiplies no matrices of integers
    areas = grid.areas.double().flatten()
    mask_areas = ((is_full & ~is_partial).flatten(1).double() @ areas).long()
    winners = _Winners(grid.to_pixels((winner + 1).int() * signs), mask_areas)
    contest = _PanopticContest(scores, BlockProbs(mask_logits, grid), winners)
    chunk = max(1, chunk_pixels // (grid.sides[0] * grid.sides[1]))
    for group in grid.groups(~settled):
        for some in group.split(chunk):
            partial, winning = (
                chosen[:, some.rows, some.columns].T for chosen in (is_partial, can_win)
            )
            contest.settle(partial, partial | winning, some)
    return winners


class _PanopticContest:
    """Finds the winner of every pixel of blocks that bounds leave open.

    Args:
        scores: Class scores, ``(K,)``.
        probs: Probabilities of masks in blocks.
        winners: What is found, changed in place.
    """

    def __init__(self, scores: Tensor, probs: BlockProbs, winners: _Winners) -> None:
        self.scores = scores
        self.probs = probs
        self.winners = winners

    def settle(self, is_partial: Tensor, takes_part: Tensor, group: BlockGroup) -> None:
        """Compare queries one after the other.

        Args:
            is_partial: Which masks have their border in each block, bool ``(N, K)``.
            takes_part: Which queries are compared, bool ``(N, K)``.
            group: The blocks.
        """
        # blocks of the most queries first, so that those of each turn are a slice
        counts, order = takes_part.sum(dim=1).sort(descending=True)
        group, is_partial = group.select(order), is_partial[order]
        queries = takes_part[order].byte().argsort(dim=1, descending=True, stable=True)
        down, across = self.probs.grid.inside_of(group)
        best = torch.full((len(order), *self.probs.grid.sides), -1.0, device=order.device)
        winner = best.new_zeros(best.shape, dtype=torch.int32)
        turns = torch.arange(1, queries.shape[1] + 1, device=order.device)
        for turn, size in enumerate((counts[:, None] >= turns).sum(dim=0).tolist()):
            if size == 0:
                break
            some = slice(size)
            query = queries[some, turn]
            probs = self.probs.probs(query, group.select(some))
            in_mask = probs >= 0.5
            area = down[some, None] @ in_mask.float() @ across[some, :, None]
            area = area.flatten().long() * is_partial[some].gather(1, query[:, None])[:, 0]
            self.winners.mask_areas.index_add_(0, query, area)
            signed = (in_mask.int() * 2 - 1) * (query + 1).int()[:, None, None]
            probs *= self.scores[query, None, None]
            winner[some] = torch.where(probs > best[some], signed, winner[some])
            torch.maximum(best[some], probs, out=best[some])
        self.probs.grid.write(self.winners.map, winner, group)
