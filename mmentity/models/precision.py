"""The precision in which a network predicts."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, Optional, Union

import torch
from mmengine.logging import MMLogger

Precision = Literal['fp32', 'bf16', 'fp16']

DTYPES: dict[str, torch.dtype] = {
    'fp32': torch.float32,
    'bf16': torch.bfloat16,
    'fp16': torch.float16,
}
CPUINFO = Path('/proc/cpuinfo')
# as the kernel names them, of x86 and of ARM
BF16_INSTRUCTIONS = {'avx512_bf16', 'amx_bf16', 'bf16'}


def check_precision(precision: Optional[str]) -> Optional[str]:
    """Return a precision, or None where none is asked for.

    Raises:
        ValueError: If it is none of ``DTYPES``.
    """
    if precision is not None and precision not in DTYPES:
        raise ValueError(
            f'precision (test_cfg.precision) is {precision!r}; it must be one of '
            f'{", ".join(DTYPES)}, or None'
        )
    return precision


def usable_precision(precision: Optional[str], device: Union[torch.device, str]) -> str:
    """Tell in which precision a device predicts; where it lacks the one asked for, fp32.

    What it lacks is logged as a warning, once.

    Args:
        precision: One of ``DTYPES``, or None for ``'fp32'``.
        device: Where the network runs.

    Raises:
        ValueError: If the precision is none of the above.
    """
    precision = check_precision(precision) or 'fp32'
    lack = lack_of(precision, torch.device(device))
    if lack is None:
        return precision
    _warn_once(f'{precision} is slower than fp32 here, so fp32 is used: {lack}')
    return 'fp32'


def autocast_to(
    precision: Optional[str], device: Union[torch.device, str]
) -> AbstractContextManager:
    """Make a context in which networks run in a precision, as far as the device can.

    Args:
        precision: One of ``DTYPES``; None leaves it to the caller's autocast.
        device: Where the network runs.
    """
    if precision is None:
        return nullcontext()
    kind = torch.device(device).type
    usable = usable_precision(precision, device)
    if usable == 'fp32':
        return torch.autocast(kind, enabled=False)
    return torch.autocast(kind, dtype=DTYPES[usable])


def bytes_of_a_value(device: torch.device) -> int:
    """Bytes of most values that a network holds under the autocast in force."""
    # on other devices norms and softmax make float32 of half precision
    if device.type == 'cpu' and torch.is_autocast_cpu_enabled():
        return torch.get_autocast_cpu_dtype().itemsize
    return torch.float32.itemsize


def lack_of(precision: str, device: torch.device) -> Optional[str]:
    """Name what a device lacks to be faster in a precision than in fp32; None if nothing."""
    if precision == 'fp32':
        return None
    if device.type == 'cuda':
        capability = torch.cuda.get_device_capability(device)
        if precision == 'fp16' or capability >= (8, 0):
            return None
        number = '.'.join(map(str, capability))
        return f'this GPU has compute capability {number}, and bf16 needs 8.0; choose fp16'
    if device.type != 'cpu':
        return f'fp16 and bf16 have not been tried on {device.type}'
    if precision == 'fp16':
        return 'fp16 needs a GPU; choose bf16 on CPUs with AVX512-BF16 or AMX'
    return None if has_bf16_instructions() else 'this CPU has neither AVX512-BF16 nor AMX-BF16'


@lru_cache(maxsize=1)
def has_bf16_instructions() -> bool:
    """Whether the CPU multiplies bfloat16 by itself."""
    if CPUINFO.is_file():
        lines = CPUINFO.read_text().splitlines()
        flags = (line for line in lines if line.lower().startswith(('flags', 'features')))
        return not BF16_INSTRUCTIONS.isdisjoint(next(flags, '').split())
    # not in every supported version of PyTorch
    return getattr(torch.cpu, '_is_avx512_bf16_supported', lambda: False)()


@cache
def _warn_once(message: str) -> None:
    MMLogger.get_current_instance().warning(message)
