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

from mmentity.models.view_geometry import ROUNDING, ViewGeometry, block_side

# longest side of a block, px
BLOCK_SIDE = 128
# queries of a block that are looked at together
GROUP = 4


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
        block_values: Most values that a block holds; changes memory and time
            only. By default the side of a block is the bound.

    Raises:
        ValueError: If ``mask_thr`` is below 0.5.
    """
    if not 0.5 <= mask_thr < 1:
        raise ValueError(f'mask_thr is {mask_thr}; it must be at least 0.5 and below 1')
    mask_logits = mask_logits.float()
    blocks = geometry.blocks(mask_logits, block_side(BLOCK_SIDE, GROUP, block_values))
    owns_all = blocks.lower > mask_thr + ROUNDING
    # a query that owns all of a block leaves nothing to those after it
    taken_before = (owns_all.cumsum(dim=0) - owns_all.long()) > 0
    can_own = (blocks.upper > mask_thr - ROUNDING) & ~taken_before
    settled = owns_all.any(dim=0) & (can_own.sum(dim=0) == 1)
    owner = can_own.int().argmax(dim=0)

    fusion = _Fusion(blocks.spread(((owner + 1) * settled).int()), len(mask_logits), sigmoid_twice)
    for block, box in blocks.boxes(can_own.any(dim=0)):
        queries = torch.nonzero(can_own[(slice(None), *block)]).flatten()
        if settled[block]:
            fusion.own(int(queries), box, geometry.probs(mask_logits, box, queries)[0])
            continue
        own_probs = fusion.claim(queries, box, mask_logits, geometry, mask_thr)
        fusion.measure(box, own_probs)
    return fusion.masks()


class _Fusion:
    """Disjoint masks in the making.

    Args:
        owners: Map of owners as far as it is settled, int32 ``(H0, W0)``.
        num_queries: Queries Q.
        sigmoid_twice: As in :func:`fuse_entities`.
    """

    def __init__(self, owners: Tensor, num_queries: int, sigmoid_twice: bool) -> None:
        self.owners = owners
        self.sigmoid_twice = sigmoid_twice
        self.prob_sums = torch.zeros(num_queries, dtype=torch.float64, device=owners.device)
        self.extents = Extents(num_queries, *owners.shape, owners.device)

    def own(self, query: int, box: tuple, probs: Tensor) -> None:
        """Measure a query in a box that it owns; probabilities ``(h, w)``, overwritten."""
        self.extents.add_box(query, box)
        values = probs.sigmoid_() if self.sigmoid_twice else probs
        self.prob_sums[query] += values.sum(dtype=torch.float64)

    def claim(
        self,
        queries: Tensor,
        box: tuple,
        mask_logits: Tensor,
        geometry: ViewGeometry,
        mask_thr: float,
    ) -> Tensor:
        """Let queries claim the pixels of a box in turns, until none is free.

        Args:
            queries: int64 ``(N,)``.
            box: xyxy px.
            mask_logits: ``(Q, V, h, w)``.
            geometry: Where the views lie in the picture.
            mask_thr: As in :func:`fuse_entities`.

        Returns:
            Probability of the owner of each pixel, 0 where it has none.
        """
        left, top, right, bottom = box
        owners = self.owners[top:bottom, left:right]
        own_probs = torch.zeros(owners.shape, device=owners.device)
        for group in queries.split(GROUP):
            probs = geometry.probs(mask_logits, box, group)
            for query, prob in zip(group.tolist(), probs):
                claimed = (prob > mask_thr).logical_and_(owners == 0)
                if claimed.any():
                    self.extents.add(query, claimed, left, top)
                    owners.masked_fill_(claimed, query + 1)
                    own_probs += prob.mul_(claimed)
            if owners.all():
                break
        return own_probs

    def measure(self, box: tuple, own_probs: Tensor) -> None:
        """Add the probabilities of the owners in a box, ``(h, w)``, overwritten."""
        left, top, right, bottom = box
        values = own_probs.sigmoid_() if self.sigmoid_twice else own_probs
        owners = self.owners[top:bottom, left:right].flatten()
        sums = owners.bincount(values.flatten().double(), minlength=len(self.prob_sums) + 1)
        self.prob_sums += sums[1:]

    def masks(self) -> FusedMasks:
        """Give what was made."""
        length = len(self.prob_sums) + 1
        areas = sum(strip.flatten().bincount(minlength=length) for strip in self.owners.split(256))
        return FusedMasks(self.owners, areas[1:], self.prob_sums, self.extents.boxes_xyxy_px())


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

    def add_box(self, k: int, box: tuple) -> None:
        """Add a whole box xyxy px of the k-th mask."""
        left, top, right, bottom = box
        self.rows[k, top:bottom] = True
        self.columns[k, left:right] = True

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


def look_up(ids: Tensor, table: Tensor) -> Tensor:
    """Replace each value k of a map ``(H, W)`` by ``table[k]``, in place."""
    for strip in ids.split(256):
        strip.copy_(table[strip.long()])
    return ids
