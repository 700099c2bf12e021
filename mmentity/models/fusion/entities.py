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

from mmentity.models.fusion.blocks import (
    BlockGroup,
    BlockProbs,
    block_side,
    bound_blocks,
    count_values,
    grid_of,
)
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
    dense: bool = False,
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
        dense: Whether every mask is computed at every pixel, of which a device makes
            less work where memory allows, instead of block by block. The result is the same.

    Raises:
        ValueError: If ``mask_thr`` is below 0.5.
    """
    if not 0.5 <= mask_thr < 1:
        raise ValueError(f'mask_thr is {mask_thr}; it must be at least 0.5 and below 1')
    mask_logits = mask_logits.float()
    if dense:
        return _fuse_at_once(mask_logits, geometry, mask_thr, sigmoid_twice)
    chunk_pixels = min(CHUNK_PIXELS, (block_values or 8 * CHUNK_PIXELS) // 8)
    side = block_side(geometry.side_of(BLOCK_CELLS), 1, max(1, chunk_pixels))
    grid = grid_of(geometry, side)
    bounds = bound_blocks(mask_logits, grid)
    is_full = bounds.lower > mask_thr + ROUNDING
    # a query that fills a block leaves nothing to those after it
    is_taken = (is_full.cumsum(dim=0) - is_full.long()) > 0
    is_candidate = (bounds.upper > mask_thr - ROUNDING) & ~is_taken
    settled = is_full.any(dim=0) & (is_candidate.sum(dim=0) == 1)
    owner = is_candidate.int().argmax(dim=0)

    owners = grid.to_pixels(((owner + 1) * settled).int())
    fusion = _Fusion(owners, BlockProbs(mask_logits, grid), mask_thr, sigmoid_twice)
    chunk = max(1, chunk_pixels // side**2)
    for group in grid.groups(settled):
        for some in group.split(chunk):
            fusion.measure(owner[some.rows, some.columns], some)
    for group in grid.groups(is_candidate.any(dim=0) & ~settled):
        for some in group.split(chunk):
            fusion.contest(is_candidate[:, some.rows, some.columns].T, some)
    return fusion.masks()


def _fuse_at_once(
    mask_logits: Tensor, geometry: ViewGeometry, mask_thr: float, sigmoid_twice: bool
) -> FusedMasks:
    """Fuse from all masks at full size."""
    count, device = len(mask_logits), mask_logits.device
    probs = geometry.probs(mask_logits, (0, 0, geometry.width, geometry.height))
    # the first has the highest rank, and 0 stands for no query; amax is quick, argmax is not
    ranks = torch.arange(count, 0, -1, dtype=torch.int16, device=device)
    rank = ((probs > mask_thr) * ranks[:, None, None]).amax(dim=0).int()
    owners = torch.where(rank > 0, count + 1 - rank, 0)
    index = owners.long()
    values = probs.gather(0, (index - 1).clamp_(min=0)[None])[0]
    values = values.sigmoid_() if sigmoid_twice else values
    sums = torch.zeros(count + 1, dtype=torch.float64, device=device)
    sums.scatter_add_(0, index.flatten(), values.flatten().double())
    areas = count_values(index, count + 1)[1:]
    return FusedMasks(owners, areas, sums[1:], _boxes_of(index, count))


def _boxes_of(owners: Tensor, count: int) -> Tensor:
    """Tight boxes of the values 1..count of a map int64 ``(H0, W0)``; 0 for none."""
    sides = []
    for ids in (owners.T, owners):
        # where each value stands along an axis
        seen = torch.zeros((len(ids), count + 1), dtype=torch.bool, device=ids.device)
        seen = seen.scatter_(1, ids, True)[:, 1:]
        places = torch.arange(len(ids), device=ids.device)[:, None]
        first = places.masked_fill(~seen, len(ids)).amin(dim=0)
        last = places.masked_fill(~seen, -1).amax(dim=0)
        sides.append((first * (last >= 0), last + 1))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=1)


class _Fusion:
    """Disjoint masks in the making.

    Args:
        owners: Map of owners as far as it is settled, int32 ``(H0, W0)``.
        probs: Probabilities of masks in blocks.
        mask_thr: As in :func:`fuse_entities`.
        sigmoid_twice: As in :func:`fuse_entities`.
    """

    def __init__(
        self, owners: Tensor, probs: BlockProbs, mask_thr: float, sigmoid_twice: bool
    ) -> None:
        self.owners = owners
        self.probs = probs
        self.grid = probs.grid
        self.mask_thr = mask_thr
        self.sigmoid_twice = sigmoid_twice
        num_queries, device = len(probs.mask_logits), owners.device
        self.prob_sums = torch.zeros(num_queries + 1, dtype=torch.float64, device=device)
        # right and bottom are negative, so that every side is a minimum
        self.sides = torch.zeros((num_queries, 4), dtype=torch.int64, device=device)
        self.sides[:, :2] = max(owners.shape)

    def measure(self, queries: Tensor, group: BlockGroup) -> None:
        """Measure queries in blocks that belong to them as a whole.

        Args:
            queries: Owner of each block, int64 ``(N,)``.
            group: The blocks.
        """
        values = self._values(self.probs.probs(queries, group))
        down, across = self.grid.inside_of(group)
        sums = (down[:, None] @ values @ across[:, :, None]).flatten()
        self.prob_sums.index_add_(0, queries + 1, sums.double())
        self._extend_boxes(queries, group, down, across)

    def contest(self, is_candidate: Tensor, group: BlockGroup) -> None:
        """Let candidates claim the pixels of blocks in turn, until none is free.

        Args:
            is_candidate: Which queries can own a pixel of each block, at least one of them,
                bool ``(N, Q)``.
            group: The blocks.
        """
        count = is_candidate.sum(dim=1)
        # candidates of each block in their order, then the others
        queries = is_candidate.byte().argsort(dim=1, descending=True, stable=True)
        owners = self.owners.new_zeros((len(count), *self.grid.sides))
        owner_probs = torch.zeros(owners.shape, device=owners.device)
        is_on_cpu = owners.device.type == 'cpu'
        for turn in range(queries.shape[1]):
            query = queries[:, turn]
            probs = self.probs.probs(query, group)
            is_claimed = (probs > self.mask_thr).logical_and_(owners == 0)
            owners += is_claimed * (query + 1).int()[:, None, None]
            owner_probs += probs.mul_(is_claimed)
            self._extend_boxes(query, group, probs.amax(dim=2), probs.amax(dim=1))
            # a device is asked seldom: a block that is done stays as it is
            if not is_on_cpu and (turn + 1) & turn and turn + 1 < queries.shape[1]:
                continue
            is_done = (owners.flatten(1).amin(dim=1) > 0) | (count <= turn + 1)
            done, left = split_by(is_done)
            if len(done) == 0:
                continue
            self._finish(owners[done], owner_probs[done], group.select(done))
            if len(left) == 0:
                return
            group = group.select(left)
            owners, owner_probs, queries, count = (
                tensor[left] for tensor in (owners, owner_probs, queries, count)
            )

    def _finish(self, owners: Tensor, owner_probs: Tensor, group: BlockGroup) -> None:
        """Write blocks ``(N, side, side)`` into the map, and measure them."""
        self.grid.write(self.owners, owners, group)
        down, across = self.grid.inside_of(group)
        values = self._values(owner_probs).mul_(down[:, :, None]).mul_(across[:, None])
        self.prob_sums.scatter_add_(0, owners.flatten().long(), values.flatten().double())

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
        ends = []
        for pixels, numbers, seen in (
            (self.grid.rows, group.rows, down),
            (self.grid.columns, group.columns, across),
        ):
            places, is_seen = pixels.places[numbers], seen > 0
            first = places.masked_fill(~is_seen, max(self.owners.shape)).amin(dim=1, keepdim=True)
            last = places.masked_fill(~is_seen, -1).amax(dim=1, keepdim=True)
            ends.append((first, -last - 1))
        (top, bottom), (left, right) = ends
        sides = torch.cat([left, top, right, bottom], dim=1)
        self.sides.scatter_reduce_(0, queries[:, None].expand(-1, 4), sides, 'amin')

    def masks(self) -> FusedMasks:
        """Give the finished masks."""
        areas = torch.zeros(len(self.prob_sums), dtype=torch.int64, device=self.owners.device)
        for strip in self.owners.split(256):
            areas += count_values(strip, len(areas))
        boxes = torch.cat([self.sides[:, :2], -self.sides[:, 2:]], dim=1)
        boxes *= areas[1:, None] > 0
        return FusedMasks(self.owners, areas[1:], self.prob_sums[1:], boxes)


def split_by(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of those chosen, bool ``(N,)``, and of the others; waits for the device once."""
    order = chosen.byte().argsort(descending=True, stable=True)
    count = int(chosen.sum())
    return order[:count], order[count:]


def look_up(ids: Tensor, table: Tensor) -> Tensor:
    """Replace each value k of a map ``(H, W)`` by ``table[k]``, in place."""
    for strip in ids.split(256):
        strip.copy_(table[strip.long()])
    return ids
