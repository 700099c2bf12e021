"""Whether an image is fused block by block or at once, and in which arithmetic.

Both ways give the same result. Block by block takes little memory and skips what bounds
settle; at once takes few steps, which is quicker where an image is small or a GPU has
memory for all masks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import torch

from mmentity.models.fusion.geometry import ViewGeometry

WAYS = ('auto', 'blocks', 'dense')
# values of float32 at full size up to which a CPU is quicker at once
DENSE_VALUES = 1 << 22
# share of the free memory of a GPU that they may take; as much again is for what is made of them
DENSE_SHARE = 0.25


def is_dense(
    way: Optional[str], num_masks: int, geometry: ViewGeometry, block_values: Optional[int]
) -> bool:
    """Choose the way for one image.

    Args:
        way: One of ``WAYS``; the others than ``'auto'`` are taken as they are.
        num_masks: Values that a pixel takes at once: masks, and scores of classes.
        geometry: Where the views lie in the image.
        block_values: Values that may be held at a time, or None.
    """
    if way != 'auto':
        return way == 'dense'
    values = num_masks * geometry.height * geometry.width
    if block_values is not None and values > block_values:
        return False
    if geometry.device.type == 'cuda':
        return 4 * values <= DENSE_SHARE * free_memory(geometry.device)
    return values <= DENSE_VALUES


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still take of a CUDA device."""
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held


@contextmanager
def in_float32(device: torch.device) -> Iterator[None]:
    """Leave autocast, and the coarser products of float32 that a user may have allowed.

    These are TF32 on a GPU and bfloat16 on a CPU; what bounds leave out is exact only
    in float32.
    """
    with torch.autocast(device.type, enabled=False), _exact_products():
        yield


@contextmanager
def _exact_products() -> Iterator[None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        # of PyTorch 2.9 on: the precision was set for each backend, and has no one name
        backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
        precisions = [backend.fp32_precision for backend in backends]
        for backend in backends:
            backend.fp32_precision = 'ieee'
        try:
            yield
        finally:
            for backend, precision in zip(backends, precisions):
                backend.fp32_precision = precision
        return
    if before == 'highest':
        yield
        return
    torch.set_float32_matmul_precision('highest')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
