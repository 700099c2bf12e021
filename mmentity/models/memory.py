"""How much of an image is computed at a time in testing.

Views go through the backbone and the pixel decoder independently of each other,
and the fusion works through an image in parts; so these sizes decide about
memory and time, and never about the result.
"""

from collections.abc import Callable, Sequence
from typing import Optional

import torch
from torch import Tensor

from mmentity.models.exporting import is_exported
from mmentity.models.precision import bytes_of_a_value

MIB = 1 << 20
NO_MEMORY = ('out of memory', "can't allocate memory", 'not enough memory', 'alloc_failed')
# peak of backbone and pixel decoder for each channel and cell of a finest feature map,
# measured on the CPU; `benchmarks/gpu.py` tells what it is on a GPU
VALUES_PER_CHANNEL = 24


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device and in any version of PyTorch."""
    # the same class as torch.OutOfMemoryError, which came later
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    # allocators of the CPU and of other devices, and libraries that allocate by themselves
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in NO_MEMORY)


def memory_budget(test_cfg: Optional[dict]) -> Optional[int]:
    """Read ``test_cfg.max_memory_mb`` as bytes; None where it is not set.

    Raises:
        ValueError: If it is not positive.
    """
    megabytes = (test_cfg or {}).get('max_memory_mb')
    if megabytes is None:
        return None
    if megabytes <= 0:
        raise ValueError(
            f'test_cfg.max_memory_mb is {megabytes}; it must be positive, in MiB, or None'
        )
    return int(megabytes * MIB)


def views_at_a_time(views: Tensor, channels: int, test_cfg: Optional[dict]) -> int:
    """How many views a model takes at a time in testing, at least one.

    Without a budget a GPU takes all of them, which is fastest, and a CPU one,
    which is as fast and smaller. Under autocast to half precision twice as many fit on a CPU.
    In an exported graph all go together, as each would be written down.

    Args:
        views: Inputs or feature maps of all views, ``(B * V, C, H, W)``.
        channels: Channels that the model holds for each of their cells.
        test_cfg: May have ``max_memory_mb``.
    """
    if is_exported():
        return len(views)
    budget = memory_budget(test_cfg)
    if budget is None:
        return len(views) if views.is_cuda else 1
    values = VALUES_PER_CHANNEL * channels * views[0, 0].numel()
    return max(1, budget // (values * bytes_of_a_value(views.device)))


def over_views(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], step: int
) -> list[Tensor]:
    """Apply a function to some views at a time and join its results.

    Args:
        function: Takes tensors of ``n`` views and returns a sequence of such.
        inputs: Tensors of all views, ``(B * V, ...)``.
        step: Views at a time.

    Returns:
        Tensors of all views.
    """
    num_views = len(inputs[0])
    joined: list[Tensor] = []
    if step >= num_views:
        return list(function(*inputs))
    for start in range(0, num_views, step):
        some = slice(start, start + step)
        parts = function(*(tensor[some] for tensor in inputs))
        joined = joined or [part.new_empty((num_views, *part.shape[1:])) for part in parts]
        for whole, part in zip(joined, parts):
            whole[some] = part
    return joined
