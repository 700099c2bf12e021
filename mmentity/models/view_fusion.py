"""From the masks of several views to one map of entities.

The official release resizes every mask of every view to full size, applies a
sigmoid, averages the views that cover a pixel, and gives a pixel to the query
of the highest class score among those above 0.5 (CropFormer, section 4.3). Here
the same is computed tile by tile, and inside a tile query by query within the box
that the query can reach there. In descending class score a pixel is settled by the
first query that claims it, so a tile is done when every pixel has an owner, and
one id map and a tile of probabilities are all the memory it takes.
"""

from collections.abc import Iterable
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.view_geometry import ViewGeometry

# pixels that a picture is worked through at a time: a tile that stays in the cache
STRIP_PIXELS = 1 << 17


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
    tile_pixels: Optional[int] = None,
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
        tile_pixels: Most pixels that are worked on at a time; costs memory and
            changes nothing else. Defaults to ``STRIP_PIXELS``.

    Raises:
        ValueError: If ``mask_thr`` is below 0.5.
    """
    if not 0.5 <= mask_thr < 1:
        raise ValueError(f'mask_thr is {mask_thr}; it must be at least 0.5 and below 1')
    mask_logits = mask_logits.float()
    positive = mask_logits > 0
    fusion = _Fusion(len(mask_logits), geometry, mask_logits.device)
    whole = geometry.reachable_boxes(positive)
    for tile in geometry.tiles(STRIP_PIXELS if tile_pixels is None else tile_pixels):
        queries = _touching(whole, tile)
        reach = geometry.reachable_boxes(positive, tile, queries)
        claims = zip(queries.tolist(), reach.tolist())
        own_probs = fusion.claim(tile, claims, mask_logits, mask_thr)
        fusion.measure(tile, own_probs.sigmoid_() if sigmoid_twice else own_probs)
    return fusion.masks()


def _touching(boxes: Tensor, tile: tuple) -> Tensor:
    """Numbers of the boxes ``(Q, 4)`` that share a pixel with a tile, int64."""
    left, top, right, bottom = tile
    x0, y0, x1, y1 = boxes.unbind(dim=1)
    shared = (x0.clamp(min=left) < x1.clamp(max=right)) & (y0.clamp(min=top) < y1.clamp(max=bottom))
    return torch.nonzero(shared).squeeze(1)


class _Fusion:
    """Disjoint masks in the making."""

    def __init__(self, num_queries: int, geometry: ViewGeometry, device: torch.device) -> None:
        self.geometry = geometry
        shape = (geometry.height, geometry.width)
        self.owners = torch.zeros(shape, dtype=torch.int32, device=device)
        self.areas = torch.zeros(num_queries, dtype=torch.int64, device=device)
        self.prob_sums = torch.zeros(num_queries, dtype=torch.float64, device=device)
        self.extents = Extents(num_queries, *shape, device)

    def claim(self, tile: tuple, claims: Iterable, mask_logits: Tensor, mask_thr: float) -> Tensor:
        """Let queries claim the pixels of a tile in turns.

        Args:
            tile: Box xyxy px.
            claims: Number of each query, and the box that it can reach in the tile.
            mask_logits: ``(Q, V, h, w)``.
            mask_thr: As in :func:`fuse_entities`.

        Returns:
            Probability of the owner of each pixel, 0 where it has none.
        """
        left, top, right, bottom = tile
        owners = self.owners[top:bottom, left:right]
        free = owners == 0
        own_probs = torch.zeros(free.shape, device=owners.device)
        for q, (x0, y0, x1, y1) in claims:
            if x0 >= x1 or y0 >= y1:
                continue
            part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
            if not free[part].any():
                continue
            probs = self.geometry.probs(mask_logits[q], (x0, y0, x1, y1))
            claimed = (probs > mask_thr).logical_and_(free[part])
            self.extents.add(q, claimed, x0, y0)
            free[part].logical_xor_(claimed)
            owners[part].masked_fill_(claimed, q + 1)
            own_probs[part] += probs.mul_(claimed)
        return own_probs

    def measure(self, tile: tuple, values: Tensor) -> None:
        """Add areas and sums of the values of a tile."""
        left, top, right, bottom = tile
        owners = self.owners[top:bottom, left:right].flatten()
        length = len(self.areas) + 1
        self.areas += owners.bincount(minlength=length)[1:]
        self.prob_sums += owners.bincount(values.flatten().double(), minlength=length)[1:]

    def masks(self) -> FusedMasks:
        """Give what was made."""
        return FusedMasks(self.owners, self.areas, self.prob_sums, self.extents.boxes_xyxy_px())


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


def look_up(ids: Tensor, table: Tensor) -> Tensor:
    """Replace each value k of a map ``(H, W)`` by ``table[k]``, in place."""
    for strip in ids.split(256):
        strip.copy_(table[strip.long()])
    return ids
