"""The config, device and weights that a user names."""

import difflib
from pathlib import Path
from typing import Union

import torch
from mmengine.config import Config
from torch import nn

import mmentity
from mmentity.converters import convert_detectron2
from mmentity.engine import allow_mmengine_checkpoints

SHIPPED_CONFIGS = Path(mmentity.__file__).parent / '.mim' / 'configs'


def find_config(model: Union[str, Path]) -> Path:
    """Find a config by its path or, among the shipped ones, by its name.

    Args:
        model: Path of a config, or a name such as ``'cropformer_hornet-l_3x'``,
            with or without ``.py``.

    Raises:
        FileNotFoundError: If there is none; the sentence names similar ones.

    Examples:
        >>> find_config('cropformer_hornet-l_3x').name
        'cropformer_hornet-l_3x.py'
    """
    if Path(model).is_file():
        return Path(model)
    shipped = {path.stem: path for path in sorted(SHIPPED_CONFIGS.resolve().glob('**/*.py'))}
    shipped = {name: path for name, path in shipped.items() if '_base_' not in path.parts}
    name = Path(model).name
    name = name[: -len('.py')] if name.endswith('.py') else name
    if name in shipped:
        return shipped[name]
    similar = difflib.get_close_matches(name, shipped, n=3, cutoff=0.3) or sorted(shipped)
    raise FileNotFoundError(
        f'there is no config {str(model)!r}, neither as a file nor among the shipped ones; '
        f'similar: {", ".join(similar)}'
    )


def read_config(model: Union[str, Path]) -> Config:
    """Read a config found by :func:`find_config`."""
    return Config.fromfile(str(find_config(model)))


def usable_device(device: str) -> str:
    """Check that a device exists and computes.

    Raises:
        ValueError: If it does not; the sentence names those that do.
    """
    try:
        torch.zeros(1, device=torch.device(device)).add(1)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        usable = ['cpu', *(f'cuda:{i}' for i in range(torch.cuda.device_count()))]
        reason = str(error).splitlines()[0].rstrip('.')
        raise ValueError(
            f'device {device!r} cannot be used here ({reason}); usable: {", ".join(usable)}'
        ) from error
    return device


def load_weights_strictly(model: nn.Module, path: Union[str, Path]) -> None:
    """Load a training, converted or official checkpoint.

    Args:
        model: Model of the same architecture.
        path: File with mmentity's names (plain or under ``state_dict``) or with
            the official ones (plain or under ``model``).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or one of another model.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'weights {path} do not exist; give the path of a checkpoint')
    allow_mmengine_checkpoints()
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
        for key in ('state_dict', 'model'):
            content = content.get(key, content)
        if any(name.startswith('sem_seg_head.') for name in content):
            content = convert_detectron2(content)
    except Exception as error:
        # torch raises whatever the pickle of a foreign or damaged file leads to
        reason = str(error).strip('\'"').splitlines()[0]
        raise ValueError(f'{path} holds no weights that mmentity can read ({reason})') from error
    wanted = model.state_dict()
    wrong = [n for n in wanted if n not in content] + [n for n in content if n not in wanted]
    wrong += [n for n in wanted if n in content and content[n].shape != wanted[n].shape]
    if wrong:
        raise ValueError(
            f'{path} does not fit the config: {len(wrong)} of {len(wanted)} weights are missing, '
            f'unknown or of another shape, the first is {wrong[0]!r}; name the config that these '
            'weights were made with'
        )
    model.load_state_dict(content)
