"""Checkpoint files of PyTorch and Detectron2, read without running their code."""

import io
import pickle
import re
from argparse import Namespace
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Union

import numpy as np
import torch
from torch import Tensor

ZIP = b'PK\x03\x04'
TORCH_BEFORE_1_6 = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
PICKLE = b'\x80'

# Keys under which projects keep the weights: mmengine, then Detectron2, Swin and HorNet.
WRAPPERS = ('state_dict', 'model')


class WeightsError(ValueError):
    """Weights that cannot be used; the sentence says why, and how to mend it."""


def read_checkpoint(path: Union[str, Path], mmap: bool = True) -> dict:
    """Read a checkpoint file, whatever project wrote it.

    Only tensors, arrays, plain containers and what mmengine saves beside them are
    unpickled; a file that asks for anything else is refused.

    Args:
        path: ``.pth`` of PyTorch, old format or new, or ``.pkl`` of Detectron2;
            told apart by their first bytes, whatever they are called.
        mmap: Map the tensors from the file instead of copying them into memory.
            The file must then stay as it is while they are in use.

    Returns:
        What the file holds, as it is.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightsError: If it is cut short, no checkpoint, or wants to run code.

    Examples:
        >>> checkpoint = read_checkpoint('CropFormer_hornet_3x_03823a.pth')
        >>> checkpoint.keys()
        dict_keys(['model'])
    """
    # here, as the engine builds on this module
    from mmentity.engine.checkpoint_hook import allow_mmengine_checkpoints

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist or is no file; check the path')
    allow_mmengine_checkpoints()
    with path.open('rb') as file:
        start = file.read(len(TORCH_BEFORE_1_6))
    try:
        if start.startswith(ZIP):
            content = _torch_load(path, mmap=mmap)
        elif start == TORCH_BEFORE_1_6:
            content = _torch_load(path)
        elif start.startswith(PICKLE):
            with path.open('rb') as file:
                content = _PlainUnpickler(file, encoding='latin1').load()
        else:
            raise WeightsError(
                f'{path} is no checkpoint: it begins with {start[:8]!r}, neither a .pth of '
                'PyTorch nor a .pkl of Detectron2; an interrupted download often leaves a web page'
            )
    except pickle.UnpicklingError as error:
        raise WeightsError(_refusal(path, error)) from error
    except (EOFError, RuntimeError, AttributeError, IndexError, KeyError, TypeError) as error:
        raise WeightsError(
            f'{path} is cut short, damaged or no checkpoint ({_first_line(error)}); download or '
            'copy it again'
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(
            f'{path} holds a {type(content).__name__}, not weights by name; a checkpoint of '
            'a whole pickled model cannot be read, only one of a state dict'
        )
    return content


def weights_of(checkpoint: Mapping, path: Union[str, Path] = 'the checkpoint') -> dict:
    """Take the weights out of a checkpoint.

    Args:
        checkpoint: Names to tensors or arrays, or a dict that holds them as
            ``state_dict`` or ``model``.
        path: Where they come from, for messages.

    Returns:
        Names, without the ``module.`` of a distributed run, to tensors.

    Raises:
        WeightsError: If there are none, or a value is no tensor.
    """
    weights = checkpoint
    for key in WRAPPERS:
        if isinstance(checkpoint.get(key), Mapping):
            weights = checkpoint[key]
            break
    if not weights:
        raise WeightsError(f'{path} holds no weights at all')
    distributed = all(str(name).startswith('module.') for name in weights)
    tensors = {}
    for name, value in weights.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value))
        if not isinstance(value, Tensor):
            raise WeightsError(
                f'{path} has a {type(value).__name__} under {str(name)!r} where weights should '
                'be; it is no checkpoint of a model'
            )
        tensors[name[len('module.') :] if distributed else name] = value
    return tensors


def _torch_load(path: Path, **options) -> object:
    # codebases of ImageNet models keep their command line beside the weights
    allow = getattr(torch.serialization, 'safe_globals', None)
    with allow([Namespace]) if allow else nullcontext():
        return torch.load(path, map_location='cpu', weights_only=True, **options)


def _storage_from_bytes(content: bytes) -> object:
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)


class _PlainUnpickler(pickle.Unpickler):
    """Unpickle arrays, tensors and plain containers, and refuse the rest."""

    KNOWN = {
        ('_codecs', 'encode'),
        ('collections', 'OrderedDict'),
        ('numpy', 'dtype'),
        ('numpy', 'ndarray'),
        ('torch', 'Size'),
        ('torch', 'device'),
        ('torch._utils', '_rebuild_parameter'),
        ('torch._utils', '_rebuild_tensor_v2'),
        # numpy 1 and 2 name these differently, and a file may come from either
        *(
            (f'numpy.{core}.{module}', name)
            for core in ('core', '_core')
            for module, name in (
                ('multiarray', '_reconstruct'),
                ('multiarray', 'scalar'),
                ('numeric', '_frombuffer'),
            )
        ),
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            # torch's own would unpickle these bytes without any check
            return _storage_from_bytes
        if (module, name) in self.KNOWN:
            if module.startswith(('numpy.core.', 'numpy._core.')):
                here = np.zeros(0).__reduce__()[0].__module__.split('.')[1]
                module = f'numpy.{here}.{module.split(".")[2]}'
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f'unsupported GLOBAL {module}.{name}')


def _refusal(path: Path, error: pickle.UnpicklingError) -> str:
    wanted = re.search(r'GLOBAL[: ]+([\w.]+)', str(error))
    if wanted is None:
        return (
            f'{path} is cut short, damaged or no checkpoint ({_first_line(error)}); download or '
            'copy it again'
        )
    return (
        f'{path} wants to call {wanted.group(1)} while it is read, which weights never need; it '
        'was not opened, as it could run any code: get it again from a source that you trust'
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip('.')[:120]
