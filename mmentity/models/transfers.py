"""Copies between host and device, as few as can be and without waiting where nobody has to."""

from collections.abc import Sequence

import torch
from torch import Tensor


def move(table: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the host to a device without waiting for it."""
    return table.to(device, non_blocking=True)


def move_together(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy tensors of one dtype from the host to a device at once."""
    if not tensors:
        return []
    return _split_as(move(torch.cat([tensor.flatten() for tensor in tensors]), device), tensors)


def to_host_together(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors of one dtype to the host at once, which waits for the device once."""
    if not tensors:
        return []
    return _split_as(torch.cat([tensor.flatten() for tensor in tensors]).cpu(), tensors)


def _split_as(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors)]
