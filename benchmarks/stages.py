"""Time and multiply-adds of each stage of a network in testing."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# stages of a detector, and the methods that are one each; the head runs its decoder once or twice
BACKBONE, PIXELS = 'backbone', 'pixel decoder'
PASSES = ('per-view pass', 'association', 'cross-view pass')
STAGES = (BACKBONE, PIXELS, *PASSES)


class Stages:
    """Watch the stages of a model while it predicts.

    Args:
        model: A detector of this package.
        clock: Tells the time in s; one that waits for a GPU, for its times.

    Attributes:
        seconds: Of each stage, summed up over all runs.
        macs: Multiply-adds of each stage, where :meth:`count` was asked for.
    """

    def __init__(self, model: nn.Module, clock: Callable = time.process_time) -> None:
        self.model, self.clock = model, clock
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.macs = dict.fromkeys(STAGES, 0)
        self._counting = False

    @contextmanager
    def watched(self) -> Iterator['Stages']:
        """Watch what the model does meanwhile."""
        head, passes = self.model.panoptic_head, []

        def of_pass() -> str:
            passes.append(None)
            return PASSES[0] if len(passes) % 2 else PASSES[2]

        methods = {
            (self.model, 'extract_feat'): lambda: BACKBONE,
            (head, '_decode_pixels'): lambda: PIXELS,
            (head, '_run_decoder'): of_pass if hasattr(head, 'association') else lambda: PASSES[0],
            (head, '_decoder_input'): lambda: PASSES[0],
        }
        if hasattr(head, 'association'):
            methods[head.association, 'forward'] = lambda: PASSES[1]
            methods[head, '_join_views'] = lambda: PASSES[2]
        for (owner, name), stage in methods.items():
            setattr(owner, name, self._timed(getattr(owner, name), stage))
        try:
            yield self
        finally:
            for owner, name in methods:
                delattr(owner, name)

    @contextmanager
    def count(self) -> Iterator['Stages']:
        """Count multiply-adds instead of watching the time."""
        self._counting = True
        try:
            with self.watched():
                yield self
        finally:
            self._counting = False

    def _timed(self, method: Callable, stage: Callable) -> Callable:
        def run(*args, **kwargs) -> object:
            name = stage()
            if self._counting:
                with flop_counter() as counter:
                    result = method(*args, **kwargs)
                self.macs[name] += counter.get_total_flops() // 2
                return result
            start = self.clock()
            result = method(*args, **kwargs)
            self.seconds[name] += self.clock() - start
            return result

        return run


def flop_counter() -> FlopCounterMode:
    """Count products of matrices, convolutions, attention and sums of rows."""
    aten, mapping = torch.ops.aten, {}
    for name, formula in (
        ('_scaled_dot_product_flash_attention_for_cpu', _attention_flops),
        ('_embedding_bag_forward_only', _rows_flops),
    ):
        if hasattr(aten, name):
            mapping[getattr(aten, name)] = formula
    return FlopCounterMode(display=False, custom_mapping=mapping)


def _attention_flops(query: tuple, key: tuple, value: tuple, *args, **kwargs) -> int:
    return 4 * math.prod(query) * key[-2]


def _rows_flops(rows: tuple, indices: tuple, *args, **kwargs) -> int:
    return 2 * math.prod(indices) * rows[1]


def product_rate(
    device: str = 'cpu', dtype: torch.dtype = torch.float32, side: int = 1024
) -> float:
    """Multiply-adds a second of a plain product of square matrices, on the threads in use.

    The best of a few, of the CPU time of this thread and of its helpers on a CPU.
    """
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return max(_rate_of(one, other) for _ in range(5))


def _rate_of(one: Tensor, other: Tensor, repeat: int = 20) -> float:
    if one.is_cuda:
        one @ other
        torch.cuda.synchronize()
    clock = time.perf_counter if one.is_cuda else time.process_time
    start = clock()
    for _ in range(repeat):
        one @ other
    if one.is_cuda:
        torch.cuda.synchronize()
    return repeat * len(one) ** 3 / (clock() - start)
