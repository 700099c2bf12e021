"""Converted checkpoints as files: checked, named by their content, with provenance."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import torch
from mmengine.config import Config
from torch import Tensor

from mmentity.checkpoints.configs import (
    backbone_part,
    describe,
    distances_to_configs,
    expected_shapes,
    fitting_configs,
)
from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.fit import MismatchError, compare, mismatch
from mmentity.checkpoints.key_map import Weights
from mmentity.checkpoints.load import meta_of, recognise_file
from mmentity.checkpoints.read import file_of, read_checkpoint
from mmentity.checkpoints.recognise import BACKBONE, MMENTITY, map_to_official
from mmentity.checkpoints.safetensors_files import SUFFIX as SAFETENSORS
from mmentity.checkpoints.safetensors_files import write_safetensors
from mmentity.utils.files import sha256_of
from mmentity.utils.shipped_configs import find_config
from mmentity.version import __version__

PTH = '.pth'


class Published(NamedTuple):
    """A converted checkpoint, a file or a folder, and what became of every name in it."""

    path: Path
    description: str
    configs: list[str]
    mapped: dict[str, str]
    dropped: dict[str, str]

    def lines(self) -> list[str]:
        """Summarise what was done, for people."""
        reasons = Counter(self.dropped.values())
        return [
            f'{self.description}: {len(self.mapped)} weights mapped, {len(self.dropped)} dropped',
            *(f'  dropped {number}: {reason}' for reason, number in reasons.items()),
            'configs that they fit: ' + (', '.join(self.configs) or 'none of the shipped ones'),
            f'written to {self.path}',
        ]


def publish_mmentity(
    source: Union[str, Path],
    target: Union[str, Path],
    config: Optional[Union[str, Path]] = None,
    half: bool = False,
) -> Published:
    """Convert a checkpoint of another project, or a backbone of ImageNet, into a file.

    A checkpoint of mmentity becomes one of the other format, ``.pth`` or ``.safetensors``,
    without the state of its training.

    Args:
        source: Checkpoint in any names, or the folder of a model of transformers.
        target: ``.pth`` or ``.safetensors`` to write, or a folder, where a ``.pth`` is named
            after its config. Either way ``_`` and the first 8 digits of its sha256 are
            added to the name.
        config: Config that it must fit. Defaults to the shipped config that has
            exactly its names and shapes.
        half: Store float16, half the size; loading casts it back.

    Raises:
        FileNotFoundError: If ``source`` or ``config`` does not exist.
        WeightsError: If it cannot be read, belongs to another project, or fits no
            config; as :class:`MismatchError` with every difference.
        OSError: If the file cannot be written; nothing stays behind.
    """
    target = _check_target(target)
    checkpoint = read_checkpoint(source)
    weights = recognise_file(checkpoint, source)
    if weights.source == MMENTITY and SAFETENSORS not in (target.suffix, Path(source).suffix):
        raise WeightsError(
            f'the names in {source} are those of OpenMMLab already; load it as it is, '
            'convert it for Detectron2 with mmentity_to_detectron2, or write a .safetensors'
        )
    configs = configs_of(weights, source, config)
    meta = {
        **meta_of(weights.source, weights.state_dict, source),
        **origin_of(checkpoint),
        'source_sha256': sha256_of(file_of(source)),
        'mmentity_version': __version__,
    }
    name = Path(source).stem
    if configs and weights.source != BACKBONE:
        name = Path(configs[0]).stem
        text = Config.fromfile(find_config(configs[0])).pretty_text
        meta.update(config=Path(configs[0]).name, cfg=text)
    state_dict = _to_half(weights.state_dict) if half else weights.state_dict
    path = save_named_by_content({'meta': meta, 'state_dict': state_dict}, target, name)
    description = f'{describe(weights.state_dict)}, of {weights.source}'
    return Published(path, description, configs, weights.mapped, weights.dropped)


def publish_detectron2(source: Union[str, Path], target: Union[str, Path]) -> Published:
    """Convert a checkpoint of mmentity into a file for the official code.

    As :func:`publish_mmentity`; the source is of a training run here, or a converted one.
    """
    target = _check_target(target)
    if target.suffix == SAFETENSORS:
        raise WeightsError(f'{target}: the official code reads no safetensors; write a .pth')
    checkpoint = read_checkpoint(source)
    weights = recognise_file(checkpoint, source)
    if weights.source != MMENTITY:
        raise WeightsError(f'{source} is of {weights.source}, not in the names of mmentity')
    try:
        mapping = map_to_official(weights.state_dict)
    except WeightsError as error:
        raise WeightsError(f'{source}: {error}') from error
    content = {
        # the official code runs in float32
        'model': {
            name: value.float() if value.is_floating_point() else value
            for name, value in mapping.state_dict.items()
        },
        'meta': {
            **origin_of(checkpoint),
            'source': Path(source).name,
            'mmentity_version': __version__,
        },
    }
    return Published(
        save_named_by_content(content, target, f'{Path(source).stem}_detectron2'),
        describe(weights.state_dict),
        fitting_configs(weights.state_dict),
        mapping.mapped,
        mapping.dropped,
    )


def save_named_by_content(content: dict[str, Any], target: Path, name: str) -> Path:
    """Write a checkpoint to ``target``, with the first 8 digits of its sha256 in the name.

    In a folder, ``name`` goes before them.
    """
    folder, stem = (target.parent, target.stem) if target.suffix else (target, name)
    suffix = target.suffix or PTH
    partial = folder / f'{stem}.partial-{os.getpid()}{suffix}'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if suffix == SAFETENSORS:
            write_safetensors(partial, content['state_dict'], content['meta'])
        else:
            # a file object, as the name of a file would become part of the content
            with partial.open('wb') as file:
                torch.save(content, file)
        return partial.replace(folder / f'{stem}_{sha256_of(partial)[:8]}{suffix}')
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OSError(
            f'{stem}_...{suffix} could not be written to {folder} ({reason}); nothing was left '
            'behind, look at the free space and the permissions there'
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _check_target(target: Union[str, Path]) -> Path:
    path = Path(target).expanduser()
    if path.suffix not in ('', PTH, SAFETENSORS) and not path.is_dir():
        raise WeightsError(f'{target} must end in {PTH} or {SAFETENSORS}, or be a folder')
    return path


def origin_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What the ``meta`` of a checkpoint says of its origin and classes, without a training."""
    meta = checkpoint.get('meta') or {}
    return {key: meta[key] for key in ('authors', 'licence', 'dataset_meta') if key in meta}


def configs_of(
    weights: Weights, source: Union[str, Path], config: Optional[Union[str, Path]]
) -> list[str]:
    """Configs that weights fit, the first one or the one that is asked for in every shape."""
    configs = [str(config)] if config is not None else fitting_configs(weights.state_dict)
    if not configs and weights.source == BACKBONE:
        return []
    distances = distances_to_configs(weights.state_dict)
    nearest = configs[0] if configs else min(distances, key=lambda name: distances[name])
    state_dict, expected = weights.state_dict, expected_shapes(nearest)
    if weights.source == BACKBONE:
        state_dict, expected = backbone_part(state_dict), backbone_part(expected)
    differences = compare(state_dict, expected)
    if not differences.names:
        return configs
    if config is not None:
        raise mismatch(weights, differences, source, str(config))
    raise MismatchError(
        f'{source} is a {describe(weights.state_dict)}, which no shipped config is; the '
        f'nearest is {nearest}: {differences.summary()}; give a config of yours with --config',
        differences,
    )


def _to_half(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert floating-point weights to float16, unless their values are too large for it."""
    halves = {}
    for name, value in state_dict.items():
        halves[name] = value.half() if value.is_floating_point() else value
        if halves[name].isinf().any() and not value.isinf().any():
            raise WeightsError(f'{name} has values beyond float16; leave out --half')
    return halves
