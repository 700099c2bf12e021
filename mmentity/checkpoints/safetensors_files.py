"""Files of safetensors: tensors by name, without any code to run.

Their metadata are strings. What a ``.pth`` has in ``meta`` stands there as json under ``meta``;
files of other projects have none.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmentity.checkpoints.errors import WeightsError

SUFFIX = '.safetensors'
META = 'meta'
# bytes of the number that says how long the header is, which is json
LENGTH = 8


def is_safetensors(start: bytes) -> bool:
    """Tell a file of safetensors by its first 9 bytes or more."""
    return start[LENGTH : LENGTH + 1] == b'{'


def read_safetensors(path: Path, mmap: bool = True) -> dict[str, Any]:
    """Read a file of safetensors onto the CPU, with its ``meta`` where it has one.

    Args:
        path: The file.
        mmap: Map the tensors from the file instead of copying them into memory.

    Raises:
        WeightsError: If it is cut short or damaged.
    """
    try:
        with safe_open(path, framework='pt') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        meta = json.loads(metadata[META]) if META in metadata else None
    except (SafetensorError, ValueError) as error:
        raise WeightsError(
            f'{path} is cut short, damaged or no file of safetensors ({error}); download or copy '
            'it again'
        ) from error
    content: dict[str, Any] = {
        'state_dict': tensors if mmap else {name: tensors[name].clone() for name in tensors}
    }
    if isinstance(meta, dict):
        if isinstance(meta.get('dataset_meta'), dict):
            meta['dataset_meta'] = {k: _as_tuple(v) for k, v in meta['dataset_meta'].items()}
        content['meta'] = meta
    return content


def write_safetensors(path: Path, state_dict: Mapping[str, Tensor], meta: dict[str, Any]) -> None:
    """Write a state dict and its ``meta``, of what json can hold.

    The same content gives the same bytes.

    Raises:
        OSError: If it cannot be written.
    """
    # transformers wants to be told that the tensors are of PyTorch
    metadata = {'format': 'pt', META: json.dumps(meta, sort_keys=True)}
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file({name: value.contiguous() for name, value in state_dict.items()}, path, metadata)
        # safetensors makes files that nobody else may read
        path.chmod(mode)
        _sort_metadata(path)
    except SafetensorError as error:
        raise OSError(f'{path} could not be written: {error}') from error


def _sort_metadata(path: Path) -> None:
    """Put the metadata in an order of their own; safetensors writes them in a random one."""
    with path.open('r+b') as file:
        length = int.from_bytes(file.read(LENGTH), 'little')
        header = json.loads(file.read(length))
        header['__metadata__'] = dict(sorted(header['__metadata__'].items()))
        text = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
        if len(text) > length:
            raise OSError(f'{path} has a header of {length} bytes, its json has {len(text)}')
        file.seek(LENGTH)
        # the format has spaces after the json
        file.write(text.ljust(length))


def _as_tuple(value: Any) -> Any:
    """Turn lists into tuples, as the metainfo of datasets has them; json has lists only."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
