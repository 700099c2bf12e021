"""From the masks of several views to one map of entities.

The official release resizes every mask of every view to full size, applies a
sigmoid, averages the views that cover a pixel, and gives a pixel to the query
of the highest class score among those above 0.5 (CropFormer, section 4.3). Here
the same is computed block by block. The low-resolution logits bound the
probability of every mask in a block, so in most blocks one query at most comes
into question; elsewhere a pixel is settled by the first query, in descending class
score, that claims it, and a block is done when every pixel has an owner. One id
map and the probabilities of a block are all the memory it takes.
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.fusion.blocks import BlockProbs
from mmentity.models.fusion.geometry import ROUNDING, ViewGeometry, block_side

# low-res cells along the side of a block
BLOCK_CELLS = 10
# pixels of the blocks that are worked on together
CHUNK_PIXELS = 1 << 19


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
    block_values: Optional[int] = None,
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
        block_values: Values to hold at a time; changes memory and time only. By
            default ``CHUNK_PIXELS`` is the bound.

    Raises:
        ValueError: If ``mask_thr`` is below 0.5.
    """
    if not 0.5 <= mask_thr < 1:
        raise ValueError(f'mask_thr is {mask_thr}; it must be at least 0.5 and below 1')
    mask_logits = mask_logits.float()
    chunk_pixels = min(CHUNK_PIXELS, (block_values or 8 * CHUNK_PIXELS) // 8)
    side = block_side(geometry.side_of(BLOCK_CELLS), 1, max(1, chunk_pixels))
    blocks = geometry.blocks(mask_logits, side)
    owns_all = blocks.lower > mask_thr + ROUNDING
    # a query that owns all of a block leaves nothing to those after it
    taken_before = (owns_all.cumsum(dim=0) - owns_all.long()) > 0
    can_own = (blocks.upper > mask_thr - ROUNDING) & ~taken_before
    settled = owns_all.any(dim=0) & (can_own.sum(dim=0) == 1)
    owner = can_own.int().argmax(dim=0)

    probs = BlockProbs(mask_logits, geometry, blocks)
    owners = blocks.spread(((owner + 1) * settled).int())
    fusion = _Fusion(owners, len(mask_logits), probs, mask_thr, sigmoid_twice)
    chunk = max(1, chunk_pixels // side**2)
    for views, *places in probs.groups(settled):
        for rows, columns in zip(*(place.split(chunk) for place in places)):
            fusion.own(owner[rows, columns], rows, columns, views)
    for views, *places in probs.groups(can_own.any(dim=0) & ~settled):
        for rows, columns in zip(*(place.split(chunk) for place in places)):
            fusion.claim(can_own[:, rows, columns].T, rows, columns, views)
    return fusion.masks()


class _Fusion:
    """Disjoint masks in the making.

    Args:
        owners: Map of owners as far as it is settled, int32 ``(H0, W0)``.
        num_queries: Queries Q.
        probs: Probabilities of masks in blocks.
        mask_thr: As in :func:`fuse_entities`.
        sigmoid_twice: As in :func:`fuse_entities`.
    """

    def __init__(
        self,
        owners: Tensor,
        num_queries: int,
        probs: BlockProbs,
        mask_thr: float,
        sigmoid_twice: bool,
    ) -> None:
        self.owners = owners
        self.probs = probs
        self.mask_thr = mask_thr
        self.sigmoid_twice = sigmoid_twice
        self.prob_sums = torch.zeros(num_queries, dtype=torch.float64, device=owners.device)
        # the far sides are negative, so that every side is a minimum
        self.sides = torch.zeros((num_queries, 4), dtype=torch.int64, device=owners.device)
        self.sides[:, :2] = max(owners.shape)

    def own(self, queries: Tensor, rows: Tensor, columns: Tensor, views: list) -> None:
        """Measure queries in blocks that they own.

        Args:
            queries: Owner of each block, int64 ``(N,)``.
            rows: Row of each block, int64 ``(N,)``.
            columns: Column of each block, int64 ``(N,)``.
            views: Views that cover the blocks.
        """
        values = self._values(self.probs.probs(queries, rows, columns, views))
        down, across = (own[k] for own, k in zip(self.probs.own, (rows, columns)))
        sums = (down[:, None] @ values @ across[:, :, None]).flatten()
        self.prob_sums.index_add_(0, queries, sums.double())
        self._extend(queries, rows, columns, down, across)

    def claim(self, can_own: Tensor, rows: Tensor, columns: Tensor, views: list) -> None:
        """Let queries claim the pixels of blocks in turns, until none is free.

        Args:
            can_own: Which queries come into question, at least one for each block,
                bool ``(N, Q)``.
            rows: Row of each block, int64 ``(N,)``.
            columns: Column of each block, int64 ``(N,)``.
            views: Views that cover the blocks.
        """
        queries = torch.nonzero(can_own)[:, 1]
        stop = can_own.sum(dim=1).cumsum(dim=0)
        turn = stop - can_own.sum(dim=1)
        shape = (len(rows), *(pixels.shape[1] for pixels in self.probs.pixels))
        owners, own_probs = self.owners.new_zeros(shape), torch.zeros(shape, device=turn.device)
        while len(rows):
            query = queries[turn]
            probs = self.probs.probs(query, rows, columns, views)
            claimed = (probs > self.mask_thr).logical_and_(owners == 0)
            owners += claimed * (query + 1).int()[:, None, None]
            own_probs += probs.mul_(claimed)
            self._extend(query, rows, columns, probs.amax(dim=2), probs.amax(dim=1))
            turn = turn + 1
            is_done = (owners.flatten(1).amin(dim=1) > 0) | (turn == stop)
            self._finish(*(tensor[is_done] for tensor in (owners, own_probs, rows, columns)))
            owners, own_probs, rows, columns, turn, stop = (
                tensor[~is_done] for tensor in (owners, own_probs, rows, columns, turn, stop)
            )

    def _finish(self, owners: Tensor, own_probs: Tensor, rows: Tensor, columns: Tensor) -> None:
        """Write blocks into the map, and measure them."""
        ys, xs = (pixels[k] for pixels, k in zip(self.probs.pixels, (rows, columns)))
        self.owners[ys[:, :, None], xs[:, None]] = owners
        down, across = (own[k] for own, k in zip(self.probs.own, (rows, columns)))
        values = self._values(own_probs).mul_(down[:, :, None]).mul_(across[:, None])
        length = len(self.prob_sums) + 1
        sums = owners.flatten().bincount(values.flatten().double(), minlength=length)
        self.prob_sums += sums[1:]

    def _values(self, probs: Tensor) -> Tensor:
        return probs.sigmoid_() if self.sigmoid_twice else probs

    def _extend(
        self, queries: Tensor, rows: Tensor, columns: Tensor, down: Tensor, across: Tensor
    ) -> None:
        """Extend the boxes of queries by the rows and columns of blocks that they have.

        Args:
            queries: int64 ``(N,)``.
            rows: Row of each block, int64 ``(N,)``.
            columns: Column of each block, int64 ``(N,)``.
            down: Rows of the block, positive where the query has a pixel, ``(N, side)``.
            across: The same of columns.
        """
        some = torch.nonzero(down.amax(dim=1) > 0).flatten()
        ends = []
        for pixels, blocks, seen in zip(self.probs.pixels, (rows, columns), (down, across)):
            pixels, seen = pixels[blocks[some]], (seen[some] > 0).byte()
            first = seen.argmax(dim=1, keepdim=True)
            last = seen.shape[1] - 1 - seen.flip(1).argmax(dim=1, keepdim=True)
            ends.append([pixels.gather(1, first), -pixels.gather(1, last) - 1])
        sides = torch.cat([ends[1][0], ends[0][0], ends[1][1], ends[0][1]], dim=1)
        place = queries[some, None].expand(-1, 4)
        self.sides.scatter_reduce_(0, place, sides, 'amin')

    def masks(self) -> FusedMasks:
        """Give what was made."""
        length = len(self.prob_sums) + 1
        areas = sum(strip.flatten().bincount(minlength=length) for strip in self.owners.split(256))
        boxes = self.sides * self.sides.new_tensor([1, 1, -1, -1])
        boxes[areas[1:] == 0] = 0
        return FusedMasks(self.owners, areas[1:], self.prob_sums, boxes)


def look_up(ids: Tensor, table: Tensor) -> Tensor:
    """Replace each value k of a map ``(H, W)`` by ``table[k]``, in place."""
    for strip in ids.split(256):
        strip.copy_(table[strip.long()])
    return ids
