"""From masks of queries to one mask of each, which may overlap.

The rule is that of Mask2Former (Cheng et al., CVPR 2022, section 3 and its released
code). Bounds of the probabilities say in which box of the image a mask can have pixels.
"""

from typing import NamedTuple, Optional

import numpy as np
import torch
from pycocotools import mask as mask_utils
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmentity.models.fusion.blocks import Grid, bound_blocks, grid_of
from mmentity.models.fusion.geometry import ROUNDING, Box, ViewGeometry, strips
from mmentity.models.transfers import move
from mmentity.structures.rle import Rle, encode_patches

# side of the blocks that boxes of masks are made of, px
BLOCK_SIDE = 64
# pixels of masks that are made at a time: on a CPU, of one mask
STRIP_PIXELS = 1 << 22
STRIP_PIXELS_ELSEWHERE = 1 << 27


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


def fuse_instances(
    mask_logits: Tensor, geometry: ViewGeometry, block_values: Optional[int] = None
) -> InstanceMasks:
    """Make the mask of every query by itself: its pixels of a probability above 0.5.

    Args:
        mask_logits: ``(N, V, h, w)``.
        geometry: Where the views lie in the image.
        block_values: As in :func:`mmentity.models.fusion.entities.fuse_entities`.
    """
    mask_logits = mask_logits.float()
    count, device = len(mask_logits), mask_logits.device
    on_cpu = device.type == 'cpu'
    limit = STRIP_PIXELS if on_cpu else STRIP_PIXELS_ELSEWHERE
    limit = min(limit, block_values or limit)
    # a device takes many masks at a time, which is quick; a CPU each in its own box
    step = 1 if on_cpu else max(1, limit // (geometry.height * geometry.width))
    grid = grid_of(geometry, BLOCK_SIDE)
    boxes = _boxes_around(bound_blocks(mask_logits, grid).upper > 0.5 - ROUNDING, grid)
    rles: list[Rle] = []
    prob_sums = torch.zeros(count, dtype=torch.float64, device=device)
    for start in range(0, count, step):
        some = slice(start, start + step)
        patches = []
        for box in strips(_union(boxes[some]), max(1, limit // step)):
            probs = geometry.probs(mask_logits[some], box)
            in_mask = probs > 0.5
            prob_sums[some] += probs.mul_(in_mask).sum(dim=(1, 2), dtype=torch.float64)
            patches.append((_on_host(in_mask), *box[:2]))
        rles += [
            encode_patches(
                [(masks[q], x0, y0) for masks, x0, y0 in patches], geometry.height, geometry.width
            )
            for q in range(len(boxes[some]))
        ]
    boxes_xyxy_px, areas = np.zeros((count, 4), np.int64), np.zeros(count, np.int64)
    if rles:
        areas = mask_utils.area(rles).astype(np.int64)
        boxes_xyxy_px = mask_utils.toBbox(rles).astype(np.int64)
        boxes_xyxy_px[:, 2:] += boxes_xyxy_px[:, :2]
    return InstanceMasks(
        rles,
        move(torch.from_numpy(areas), device),
        prob_sums,
        move(torch.from_numpy(boxes_xyxy_px), device),
    )


def _boxes_around(chosen: Tensor, grid: Grid) -> list[list[int]]:
    """Boxes xyxy px of some blocks of each mask, bool ``(N, rows, columns)``; copied once."""
    edges = []
    for pixels, dim in ((grid.columns, 1), (grid.rows, 2)):
        is_chosen, places = chosen.any(dim=dim), pixels.places
        edges += [
            places[:, 0].expand_as(is_chosen).masked_fill(~is_chosen, 1 << 31).amin(dim=1),
            (places[:, -1] + 1).expand_as(is_chosen).masked_fill(~is_chosen, 0).amax(dim=1),
        ]
    return torch.stack([edges[0], edges[2], edges[1], edges[3]], dim=1).tolist()


def _union(boxes: list[list[int]]) -> Box:
    """Box around boxes, some of which may be empty."""
    left, top, right, bottom = zip(*boxes)
    return min(left), min(top), max(right), max(bottom)


def _on_host(masks: Tensor) -> np.ndarray:
    """Copy masks bool ``(N, h, w)`` to the host, from a device as bits."""
    if masks.device.type == 'cpu':
        return masks.numpy()
    width = masks.shape[2]
    octets = F.pad(masks, (0, -width % 8)).unflatten(2, (-1, 8))
    place_values = (1 << torch.arange(7, -1, -1, device=masks.device)).byte()
    packed = (octets * place_values).sum(dim=3, dtype=torch.uint8)
    return np.unpackbits(packed.cpu().numpy(), axis=2, count=width).astype(bool)
