"""Bilinear sampling as places and weights of the four cells around a point."""

import torch
from torch import Tensor


def corners(cell: Tensor, high_weight: Tensor, limit: Tensor) -> tuple:
    """Cells on both sides of a point along one axis, and their weights; both ``(..., 2)``.

    Args:
        cell: Cell whose centre is at or below the point, int32 ``(...)``.
        high_weight: How far the point is above that centre, 0..1.
        limit: Last cell; what lies outside of ``0..limit`` has the weight 0.
    """
    cells = torch.stack([cell, cell + 1], dim=-1)
    weights = torch.stack([1 - high_weight, high_weight], dim=-1)
    limit = limit[..., None]
    weights.mul_((cells >= 0) & (cells <= limit))
    return torch.minimum(cells.clamp_(min=0), limit), weights


def sample_masks(masks: Tensor, points: Tensor) -> Tensor:
    """Sample boolean masks as :func:`mmcv.ops.point_sample` does floats.

    Args:
        masks: bool ``(N, H, W)``.
        points: ``(N, P, 2)``, or ``(1, P, 2)`` for all masks, as (x, y) in 0..1.

    Returns:
        float32 ``(N, P)``, 0..1; never a float for each pixel.
    """
    height, width = masks.shape[-2:]
    limits = torch.tensor([width - 1, height - 1], dtype=torch.int32, device=points.device)
    places = points * (limits + 1) - 0.5
    low = places.floor()
    cells, high_weight = low.int(), places - low
    x, y = (corners(cells[..., axis], high_weight[..., axis], limits[axis]) for axis in (0, 1))
    index = (y[0][..., None] * width + x[0].unsqueeze(-2)).flatten(1).long()
    weights = y[1][..., None] * x[1].unsqueeze(-2)
    values = masks.flatten(1).gather(1, index.expand(len(masks), -1))
    return (values.unflatten(1, (-1, 2, 2)) * weights).sum(dim=(-2, -1))
