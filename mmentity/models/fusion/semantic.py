"""From masks of queries to one class for each pixel.

The rule is that of Mask2Former (Cheng et al., CVPR 2022, section 3 and its released
code). An image is cut into blocks, and the low-resolution logits bound the probability
of every mask in every block. That leaves one class in most blocks; the others are
computed, many of them together, for those queries and classes that can make a
difference there. So memory grows with neither queries x pixels nor classes x pixels of
the full size.
"""

from collections.abc import Iterator, Sequence
from typing import Optional

import torch
from torch import Tensor

from mmentity.models.fusion.blocks import (
    BlockGroup,
    BlockProbs,
    Bounds,
    block_side,
    bound_blocks,
    count_values,
    first_of_greatest,
    grid_of,
)
from mmentity.models.fusion.geometry import ViewGeometry

# longest side of a block, px
BLOCK_SIDE = 64
# values of blocks that are worked on together: scores, or weights of classes and queries
CHUNK_VALUES = 1 << 20
# what rounding can do to a score that is a sum over queries, at most
ROUNDING_OF_SUMS = 1e-4
# what all queries that a block skips may change a score by: less than rounding does
NEGLIGIBLE = 1e-7


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
    dense: bool = False,
) -> Tensor:
    """Give every pixel the class of the highest score.

    Args:
        class_probs: ``(Q, classes)``.
        mask_logits: ``(Q, V, h, w)``.
        geometry: Where the views lie in the image.
        block_values: As in :func:`mmentity.models.fusion.entities.fuse_entities`.
        dense: As there.

    Returns:
        Classes int32 ``(H0, W0)``.
    """
    mask_logits, class_probs = mask_logits.float(), class_probs.float()
    if dense:
        box = (0, 0, geometry.width, geometry.height)
        scores = semantic_scores(class_probs, mask_logits, geometry, box)
        return first_of_greatest(scores, 0).int()
    values = min(CHUNK_VALUES, block_values or CHUNK_VALUES)
    grid = grid_of(geometry, block_side(BLOCK_SIDE, sum(class_probs.shape), values))
    bounds = bound_blocks(mask_logits, grid)
    best, candidates = _candidate_classes(class_probs, bounds)
    classes = grid.to_pixels(best)
    contest = _ClassContest(class_probs, BlockProbs(mask_logits, grid), bounds, values)
    chunk = max(1, CHUNK_VALUES // class_probs.numel())
    for group in grid.groups(candidates.sum(dim=0) > 1):
        for some in group.split(chunk):
            for part, winners in contest.winners(candidates[:, some.rows, some.columns].T, some):
                grid.write(classes, winners, part)
    return classes


class _ClassContest:
    """Finds the class of every pixel of blocks where several classes can be best.

    Args:
        class_probs: ``(Q, classes)``.
        probs: Probabilities of masks in blocks.
        bounds: Their bounds.
        values: Values to hold at a time.
    """

    def __init__(self, class_probs: Tensor, probs: BlockProbs, bounds: Bounds, values: int) -> None:
        self.class_probs = class_probs
        self.probs = probs
        self.middle = (bounds.lower + bounds.upper) / 2
        self.half_width = (bounds.upper - bounds.lower) / 2
        self.values = values

    def winners(
        self, is_candidate: Tensor, group: BlockGroup
    ) -> Iterator[tuple[BlockGroup, Tensor]]:
        """Compute the scores of candidates, for those queries that tell them apart.

        Args:
            is_candidate: Which classes can be best in each block, bool ``(N, classes)``.
            group: The blocks.

        Yields:
            Some of the blocks, n of them, and their classes int32 ``(n, side, side)``.
        """
        classes = _chosen_first(is_candidate)
        weights = self.class_probs.T[classes]
        # how far the place of a mask between its bounds can move two scores apart
        effect = weights.amax(dim=1) - weights.amin(dim=1)
        effect *= self.half_width[:, group.rows, group.columns].T
        matters = effect > NEGLIGIBLE / effect.shape[1]
        counts = torch.stack([is_candidate.sum(dim=1), matters.sum(dim=1)], dim=1)
        # blocks of as many classes, and of as many queries, lie together
        order = (counts[:, 0] * (effect.shape[1] + 1) + counts[:, 1]).argsort(descending=True)
        for part, (num_classes, num_queries) in self._parts(counts[order].tolist()):
            numbers = order[part]
            some = group.select(numbers)
            yield (
                some,
                self._best(
                    classes[numbers, :num_classes],
                    weights[numbers, :num_classes],
                    matters[numbers],
                    some,
                    num_queries,
                ),
            )

    def _parts(self, counts: list[list[int]]) -> Iterator[tuple[slice, tuple[int, int]]]:
        """Cut blocks into parts that fit, of similar numbers of classes.

        Args:
            counts: Classes and queries of each block, those of most classes first.

        Yields:
            A part, and the most classes and queries of its blocks.
        """
        height, width = self.probs.grid.sides
        start = most_queries = 0
        for stop, (num_classes, num_queries) in enumerate(counts):
            most_classes = counts[start][0]
            values = most_classes + max(most_queries, num_queries)
            is_too_much = (stop + 1 - start) * values * height * width > self.values
            if stop > start and (is_too_much or 2 * num_classes < most_classes):
                yield slice(start, stop), (most_classes, most_queries)
                start, most_queries = stop, 0
            most_queries = max(most_queries, num_queries)
        yield slice(start, len(counts)), (counts[start][0], most_queries)

    def _best(
        self,
        classes: Tensor,
        weights: Tensor,
        matters: Tensor,
        group: BlockGroup,
        num_queries: int,
    ) -> Tensor:
        """Best class of every pixel.

        Args:
            classes: Candidates of each block, int64 ``(n, M)``.
            weights: Their probabilities for each query, ``(n, M, Q)``.
            matters: Which queries are computed, bool ``(n, Q)``.
            group: The blocks.
            num_queries: The most of them in a block.
        """
        # the other queries count with the middle of their bounds
        constant = self.middle[:, group.rows, group.columns].T * ~matters
        scores = weights @ constant[:, :, None]
        if num_queries == 0:
            return classes.gather(1, first_of_greatest(scores, 1)).int()[:, :, None]
        queries = matters.byte().argsort(dim=1, descending=True, stable=True)[:, :num_queries]
        blocks = torch.arange(len(queries), device=queries.device).repeat_interleave(num_queries)
        probs = self.probs.probs(queries.flatten(), group.select(blocks))
        weights = weights.gather(2, queries[:, None].expand(-1, weights.shape[1], -1))
        weights = weights * matters.gather(1, queries)[:, None]
        scores = torch.baddbmm(scores, weights, probs.view(len(queries), num_queries, -1))
        best = classes.gather(1, first_of_greatest(scores, 1)).int()
        return best.view(len(best), *self.probs.grid.sides)


def _chosen_first(chosen: Tensor) -> Tensor:
    """Numbers of those chosen in each row, bool ``(N, K)``, as many columns as the most have.

    The first one of a row fills what is left of it.
    """
    most = int(chosen.sum(dim=1).max())
    numbers = chosen.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
    return torch.where(chosen.gather(1, numbers), numbers, numbers[:, :1])


def _candidate_classes(class_probs: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """Bound how far a class can fall behind another in a block.

    Returns:
        Class that is best at the middle of the bounds, int32 ``(rows, columns)``, and
        which classes can be best at some pixel, bool ``(classes, rows, columns)``.
    """
    lower, upper = bounds.lower.flatten(1), bounds.upper.flatten(1)
    best = (class_probs.T @ (lower + upper)).argmax(dim=0)
    candidates = torch.zeros(
        (class_probs.shape[1], len(best)), dtype=torch.bool, device=best.device
    )
    # blocks of one label after those of another
    counts = count_values(best, class_probs.shape[1]).tolist()
    for label, places in enumerate(best.argsort(stable=True).split(counts)):
        if len(places) == 0:
            continue
        lead = class_probs[:, label, None] - class_probs
        least = lead.clamp(min=0).T @ lower[:, places] + lead.clamp(max=0).T @ upper[:, places]
        candidates[:, places] = least <= ROUNDING_OF_SUMS
    shape = bounds.lower.shape[1:]
    return best.view(shape).int(), candidates.view(-1, *shape)
