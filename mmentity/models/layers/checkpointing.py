"""Layers that keep their inputs for the gradient and compute the rest again."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_layers(layers: Iterable[nn.Module]) -> None:
    """Save the memory of what layers hold for the gradient, for the time of a second forward.

    mmdet's layers are called with keywords, which mmengine's
    ``activation_checkpointing`` does not pass on.

    Args:
        layers: For example those of a decoder. Names in checkpoints stay.
    """
    for layer in layers:
        # a partial of a method is copied with its module, which a closure would not be
        layer.forward = partial(_forward, layer.forward)


def _forward(forward: Callable, *args, **kwargs) -> object:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
