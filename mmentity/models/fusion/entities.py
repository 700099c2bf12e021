"""From the masks of several views to one map of entities.

The official release resizes every mask of every view to full size, applies a
sigmoid, averages the views that cover a pixel, and gives a pixel to the query
of the highest class score among those above 0.5 (CropFormer, section 4.3). Here
the same is computed block by block. The low-resolution logits bound the
probability of every mask in a block, so most blocks have one candidate at most;
in the others a pixel goes to the first query, in descending class score, that
claims it, and a block is done when every pixel has an owner. One id
map and the probabilities of a block are all the memory it takes.
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.fusion.blocks import BlockGroup, BlockProbs, block_side, bound_blocks
from mmentity.models.fusion.geometry import ROUNDING, ViewGeometry

# low-res cells along the side of a block
BLOCK_CELLS = 10
# pixels of the blocks that are worked on together
CHUNK_PIXELS = 1 << 19


class FusedMasks(NamedTuple):
    """Disjoint masks of the queries of one image.

    Attributes:
        owners: int32 ``(H0, W0)``, 0 = none, k = the k-th query in the given order.
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
    """Fuse the masks of one image into disjoint ones.

    Args:
        mask_logits: ``(Q, V, h, w)`` at stride 4 of the padded input, queries in
            descending class score.
        geometry: Where the views lie in the image.
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
    blocks = bound_blocks(mask_logits, geometry, side)
    is_full = blocks.lower > mask_thr + ROUNDING
    # a query that fills a block leaves nothing to those after it
    is_taken = (is_full.cumsum(dim=0) - is_full.long()) > 0
    is_candidate = (blocks.upper > mask_thr - ROUNDING) & ~is_taken
    settled = is_full.any(dim=0) & (is_candidate.sum(dim=0) == 1)
    owner = is_candidate.int().argmax(dim=0)

    probs = BlockProbs(mask_logits, geometry, blocks)
    owners = blocks.to_pixels(((owner + 1) * settled).int())
    fusion = _Fusion(owners, len(mask_logits), probs, mask_thr, sigmoid_twice)
    chunk = max(1, chunk_pixels // side**2)
    for group in probs.groups(settled):
        for some in group.split(chunk):
            fusion.measure(owner[some.rows, some.columns], some)
    for group in probs.groups(is_candidate.any(dim=0) & ~settled):
        for some in group.split(chunk):
            fusion.contest(is_candidate[:, some.rows, some.columns].T, some)
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
        # right and bottom are negative, so that every side is a minimum
        self.sides = torch.zeros((num_queries, 4), dtype=torch.int64, device=owners.device)
        self.sides[:, :2] = max(owners.shape)

    def measure(self, queries: Tensor, group: BlockGroup) -> None:
        """Measure queries in blocks that belong to them as a whole.

        Args:
            queries: Owner of each block, int64 ``(N,)``.
            group: The blocks.
        """
        values = self._values(self.probs.probs(queries, group))
        down = self.probs.rows.is_inside[group.rows]
        across = self.probs.columns.is_inside[group.columns]
        sums = (down[:, None] @ values @ across[:, :, None]).flatten()
        self.prob_sums.index_add_(0, queries, sums.double())
        self._extend_boxes(queries, group, down, across)

    def contest(self, is_candidate: Tensor, group: BlockGroup) -> None:
        """Let candidates claim the pixels of blocks in turn, until none is free.

        Args:
            is_candidate: Which queries can own a pixel of each block, at least one of them,
                bool ``(N, Q)``.
            group: The blocks.
        """
        queries = torch.nonzero(is_candidate)[:, 1]
        stop = is_candidate.sum(dim=1).cumsum(dim=0)
        turn = stop - is_candidate.sum(dim=1)
        sides = (self.probs.rows.places.shape[1], self.probs.columns.places.shape[1])
        owners = self.owners.new_zeros((len(turn), *sides))
        owner_probs = torch.zeros(owners.shape, device=turn.device)
        while len(turn):
            query = queries[turn]
            probs = self.probs.probs(query, group)
            is_claimed = (probs > self.mask_thr).logical_and_(owners == 0)
            owners += is_claimed * (query + 1).int()[:, None, None]
            owner_probs += probs.mul_(is_claimed)
            self._extend_boxes(query, group, probs.amax(dim=2), probs.amax(dim=1))
            turn = turn + 1
            is_done = (owners.flatten(1).amin(dim=1) > 0) | (turn == stop)
            self._finish(owners[is_done], owner_probs[is_done], group.select(is_done))
            group = group.select(~is_done)
            owners, owner_probs, turn, stop = (
                tensor[~is_done] for tensor in (owners, owner_probs, turn, stop)
            )

    def _finish(self, owners: Tensor, owner_probs: Tensor, group: BlockGroup) -> None:
        """Write blocks ``(N, side, side)`` into the map, and measure them."""
        rows, columns = self.probs.rows, self.probs.columns
        ys, xs = rows.places[group.rows], columns.places[group.columns]
        self.owners[ys[:, :, None], xs[:, None]] = owners
        down, across = rows.is_inside[group.rows], columns.is_inside[group.columns]
        values = self._values(owner_probs).mul_(down[:, :, None]).mul_(across[:, None])
        length = len(self.prob_sums) + 1
        sums = owners.flatten().bincount(values.flatten().double(), minlength=length)
        self.prob_sums += sums[1:]

    def _values(self, probs: Tensor) -> Tensor:
        return probs.sigmoid_() if self.sigmoid_twice else probs

    def _extend_boxes(
        self, queries: Tensor, group: BlockGroup, down: Tensor, across: Tensor
    ) -> None:
        """Extend the boxes of queries by the rows and columns of blocks that they have.

        Args:
            queries: int64 ``(N,)``.
            group: The blocks.
            down: Rows of the block, positive where the query has a pixel, ``(N, side)``.
            across: The same of columns.
        """
        some = torch.nonzero(down.amax(dim=1) > 0).flatten()
        ends = []
        for pixels, numbers, seen in (
            (self.probs.rows, group.rows, down),
            (self.probs.columns, group.columns, across),
        ):
            places, has_pixel = pixels.places[numbers[some]], (seen[some] > 0).byte()
            first = has_pixel.argmax(dim=1, keepdim=True)
            last = has_pixel.shape[1] - 1 - has_pixel.flip(1).argmax(dim=1, keepdim=True)
            ends.append((places.gather(1, first), -places.gather(1, last) - 1))
        (top, bottom), (left, right) = ends
        sides = torch.cat([left, top, right, bottom], dim=1)
        self.sides.scatter_reduce_(0, queries[some, None].expand(-1, 4), sides, 'amin')

    def masks(self) -> FusedMasks:
        """Give the finished masks."""
        areas = torch.zeros(len(self.prob_sums) + 1, dtype=torch.int64, device=self.owners.device)
        for strip in self.owners.split(256):
            areas += strip.flatten().bincount(minlength=len(areas))
        boxes = self.sides * self.sides.new_tensor([1, 1, -1, -1])
        boxes[areas[1:] == 0] = 0
        return FusedMasks(self.owners, areas[1:], self.prob_sums, boxes)


def look_up(ids: Tensor, table: Tensor) -> Tensor:
    """Replace each value k of a map ``(H, W)`` by ``table[k]``, in place."""
    for strip in ids.split(256):
        strip.copy_(table[strip.long()])
    return ids
