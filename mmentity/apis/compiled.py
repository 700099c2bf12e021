"""Compile a detector for prediction."""

import importlib.util
import os
import shutil
from typing import Any, Union

import torch
from torch import nn

# a name or a function, as torch.compile takes it
BACKEND: Any = 'inductor'
CPP_COMPILERS = ('g++', 'clang++', 'c++', 'cl')


def compile_for_prediction(model: nn.Module) -> None:
    """Compile the parts of a detector that take the most time, in place.

    These are the backbone, the layers of the transformer decoder, and on a GPU the pixel
    decoder, which on a CPU works in parts that a compiler would write out one by one.
    Convolutions get their weights in channels-last order. Names of parameters stay.
    Compiling takes minutes at the first image of each size; beyond the eighth size PyTorch
    leaves images uncompiled.

    Args:
        model: A detector of this package, on its device.

    Raises:
        ValueError: If there is no compiler for the device.
    """
    device = next(model.parameters()).device
    check_compiler(device)
    head: Any = model.panoptic_head
    parts: list[Any] = [model.backbone, *head.transformer_decoder.layers]
    if device.type != 'cpu':
        parts.append(head.pixel_decoder)
    try:
        for part in parts:
            # Swin's arithmetic of sizes keeps a compiler busy for minutes where they are symbols
            part.forward = torch.compile(part.forward, backend=BACKEND, dynamic=False)
    except RuntimeError as error:
        raise ValueError(f'this PyTorch does not compile here ({error}); leave compile out') from (
            error
        )
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def check_compiler(device: Union[torch.device, str]) -> None:
    """Check that what compiles for a device is there.

    Raises:
        ValueError: If it is not; the message says what is missing.
    """
    if BACKEND != 'inductor':
        return
    if torch.device(device).type != 'cpu' and importlib.util.find_spec('triton') is None:
        raise ValueError(
            'compile=True (--compile) needs Triton on a GPU; pip install triton, or leave it out'
        )
    named = os.environ.get('CXX')
    if not any(map(shutil.which, (named,) if named else CPP_COMPILERS)):
        raise ValueError(
            f'compile=True (--compile) needs a C++ compiler, and there is no '
            f'{named or ", ".join(CPP_COMPILERS)}; install one (apt install g++), or leave it out'
        )
