"""Checkpoint files of every project, read without running their code."""

import argparse
import codecs
import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.utils import digit_version
from torch import Tensor

from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.safetensors_files import is_safetensors, read_safetensors
from mmentity.checkpoints.transformers_folder import meta_in, weights_in

ZIP = b'PK\x03\x04'
TORCH_BEFORE_1_6 = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
PICKLE = b'\x80'

# What the reading of a damaged file ends with.
DAMAGED = (UnpicklingError, EOFError, RuntimeError, AttributeError, LookupError, TypeError)

# Keys under which projects keep the weights: mmengine, then Detectron2, Swin and HorNet.
WRAPPERS = ('state_dict', 'model')
# Prefix of the names of a distributed run.
DISTRIBUTED = 'module.'

# Methods that mmengine's log history and schedulers refer to by name in their pickled state.
METHODS: dict[type, tuple[str, ...]] = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
# Before torch 2.6 the safe loader cannot be told what mmengine's checkpoints hold.
HAS_ALLOW_LIST = digit_version(torch.__version__) >= digit_version('2.6')


def _known_method(owner: object, name: str) -> object:
    """Stand in for ``getattr`` while unpickling; knows ``METHODS`` and nothing else."""
    if isinstance(owner, type) and name in METHODS.get(owner, ()):
        return getattr(owner, name)
    raise UnpicklingError(
        f'the checkpoint asks for {name!r} of {owner!r}, which mmengine never saves; '
        'do not load this file'
    )


def _storage_from_bytes(content: bytes) -> object:
    """Stand in for torch's function of that kind, which would unpickle without any check."""
    return _torch_load(io.BytesIO(content))


def _allowed() -> dict[str, Any]:
    """Full names that checkpoints may refer to, and what they get for them."""
    classes = [OrderedDict, argparse.Namespace, np.ndarray, np.dtype, torch.Size, torch.device]
    classes += [type(np.dtype(kind)) for kind in ('f8', 'f4', 'i8', 'i4')]
    classes += METHODS
    allowed: dict[str, Any] = {f'{each.__module__}.{each.__qualname__}': each for each in classes}
    allowed.update(
        {
            '_codecs.encode': codecs.encode,
            'builtins.getattr': _known_method,
            '__builtin__.getattr': _known_method,  # as protocol 2 names it
            'torch._utils._rebuild_parameter': torch._utils._rebuild_parameter,
            'torch._utils._rebuild_tensor_v2': torch._utils._rebuild_tensor_v2,
        }
    )
    # numpy 1 and 2 name these differently, and a file may come from either
    for core in ('numpy.core', 'numpy._core'):
        allowed[f'{core}.multiarray._reconstruct'] = np.zeros(0).__reduce__()[0]
        allowed[f'{core}.multiarray.scalar'] = np.float64(0).__reduce__()[0]
        allowed[f'{core}.numeric._frombuffer'] = np.zeros(0).__reduce_ex__(5)[0]
    return allowed


ALLOWED = _allowed()


def allow_mmengine_checkpoints() -> None:
    """Tell torch's safe loader what mmengine's checkpoints hold.

    From torch 2.6 on ``torch.load`` unpickles only what it knows. mmengine saves
    its log history and the state of its schedulers: two classes, numpy arrays,
    and references to a few methods of the two classes. Only these are allowed,
    and the check stays on.
    """
    if HAS_ALLOW_LIST:
        torch.serialization.add_safe_globals([(each, name) for name, each in ALLOWED.items()])


class _Unpickler(pickle.Unpickler):
    """Unpickle what ``ALLOWED`` lists, and refuse the rest."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return _storage_from_bytes
        try:
            return ALLOWED[f'{module}.{name}']
        except KeyError:
            raise UnpicklingError(f'unsupported GLOBAL {module}.{name}') from None


def _unpickle(file: IO[bytes], **options: Any) -> object:
    return _Unpickler(file, **options).load()


class _SafePickle:
    """The part of the module ``pickle`` that ``torch.load`` uses."""

    Unpickler = _Unpickler
    load = staticmethod(_unpickle)


def _torch_load(file: Union[str, IO[bytes]], **options: Any) -> object:
    options['weights_only'] = HAS_ALLOW_LIST
    if not HAS_ALLOW_LIST:
        options['pickle_module'] = _SafePickle
    return torch.load(file, map_location='cpu', **options)


def read_checkpoint(path: Union[str, Path], mmap: bool = True) -> dict[str, Any]:
    """Read a checkpoint file, whatever project wrote it, onto the CPU.

    Only tensors, arrays, plain containers and what mmengine saves beside them are
    unpickled; a file that asks for anything else is refused.

    Args:
        path: ``.pth`` of PyTorch, old format or new, ``.pkl`` of Detectron2 or
            ``.safetensors``, told apart by their first bytes, whatever they are called; or
            the folder of a model of transformers.
        mmap: Map the tensors from the file instead of copying them into memory.
            The file must then stay as it is while they are in use.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightsError: If it is cut short, no checkpoint, or wants to run code.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _read_folder(path, mmap)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist or is no file; check the path')
    with path.open('rb') as file:
        start = file.read(len(TORCH_BEFORE_1_6))
    if is_safetensors(start):
        return read_safetensors(path, mmap)
    if not start.startswith((ZIP, PICKLE)):
        raise WeightsError(
            f'{path} is no checkpoint: it begins with {start[:8]!r}, neither a .pth of '
            'PyTorch, a .pkl of Detectron2 nor a .safetensors; an interrupted download often '
            'leaves a web page'
        )
    content: object
    try:
        if start.startswith(ZIP):
            content = _torch_load(str(path), mmap=mmap)
        elif start == TORCH_BEFORE_1_6:
            content = _torch_load(str(path))
        else:
            with path.open('rb') as file:
                content = _unpickle(file, encoding='latin1')
    except DAMAGED as error:
        raise WeightsError(_reading_error(path, error)) from error
    if not isinstance(content, dict):
        raise WeightsError(
            f'{path} holds a {type(content).__name__}, not weights by name; a checkpoint of '
            'a whole pickled model cannot be read, only one of a state dict'
        )
    return content


def file_of(path: Union[str, Path]) -> Path:
    """Find the file that a checkpoint is read from: itself, or that in the folder of a model."""
    path = Path(path).expanduser()
    return weights_in(path) if path.is_dir() else path


def _read_folder(folder: Path, mmap: bool) -> dict[str, Any]:
    """Read a model of transformers, with the classes of its config where its file has none."""
    content = read_checkpoint(file_of(folder), mmap)
    meta = meta_in(folder)
    if 'meta' in content or not meta:
        return content
    return {'state_dict': state_dict_in(content), 'meta': meta}


def _reading_error(path: Path, error: Exception) -> str:
    wanted = re.search(r'GLOBAL[: ]+([\w.]+)', str(error))
    if isinstance(error, UnpicklingError) and wanted:
        return (
            f'{path} wants to call {wanted.group(1)} while it is read, which weights never need; '
            'it was not opened, as it could run any code: get it again from a source that you trust'
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f'{path} is cut short, damaged or no checkpoint ({lines[0].rstrip(".")[:120]}); download '
        'or copy it again'
    )


def state_dict_in(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the state dict in a checkpoint, under the key of its project or as the whole of it."""
    candidates = (*map(checkpoint.get, WRAPPERS), checkpoint)
    return next(each for each in candidates if isinstance(each, Mapping))


def weights_of(checkpoint: Mapping[str, Any], path: Union[str, Path]) -> dict[str, Tensor]:
    """Take the tensors out of a checkpoint; names lose the ``module.`` of a distributed run.

    Raises:
        WeightsError: If there are none, or a value is neither a tensor nor an array.
    """
    weights = state_dict_in(checkpoint)
    if not weights:
        raise WeightsError(f'{path} holds no weights at all')
    distributed = all(str(name).startswith(DISTRIBUTED) for name in weights)
    tensors = {}
    for name, value in weights.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value))
        if not isinstance(value, Tensor):
            raise WeightsError(
                f'{path} has a {type(value).__name__} under {str(name)!r} where weights should '
                'be; it is no checkpoint of a model'
            )
        tensors[name[len(DISTRIBUTED) :] if distributed else name] = value
    return tensors
