"""Converted checkpoints as files: checked, named by their content, with provenance."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Optional, Union

import torch
from mmengine.config import Config
from torch import Tensor

from mmentity.checkpoints.detectron2 import translate_mmentity
from mmentity.checkpoints.load import misfit, provenance, recognise_file
from mmentity.checkpoints.read import WeightsError, read_checkpoint
from mmentity.checkpoints.recognise import (
    BACKBONE,
    OURS,
    Differences,
    Recognised,
    describe,
    differences_of,
    expected_shapes,
    fitting_configs,
    nearest_config,
)
from mmentity.registry import DATASETS
from mmentity.utils.files import sha256_of, whole_file
from mmentity.utils.shipped_configs import find_config
from mmentity.version import __version__


class MisfitError(WeightsError):
    """Weights that do not fit a config.

    Attributes:
        differences: Every name that is missing, too many or of another shape.
    """

    def __init__(self, sentence: str, differences: Differences) -> None:
        super().__init__(sentence)
        self.differences = differences


class Published(NamedTuple):
    """A converted checkpoint.

    Attributes:
        path: The written file.
        description: Architecture in a few words.
        configs: Configs that the weights fit.
        mapped: Old names to new ones.
        dropped: Old names that have no place, to the reason.
    """

    path: Path
    description: str
    configs: list
    mapped: dict
    dropped: dict

    def lines(self) -> list:
        """Say what was done, for people."""
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
    """Convert a checkpoint of the official release, or a backbone, into a file.

    Args:
        source: Checkpoint in official names, or an ImageNet backbone of Swin's
            or HorNet's authors or of mmpretrain.
        target: ``.pth`` to write, or a folder, where it is named after its
            config. Either way ``_`` and the first 8 digits of its sha256 are
            added to the name.
        config: Config that it must fit. Defaults to the shipped config that has
            exactly its names and shapes.
        half: Store float16, half the size; loading casts it back.

    Raises:
        FileNotFoundError: If ``source`` or ``config`` does not exist.
        WeightsError: If it cannot be read, belongs to another project, or fits no
            config; as :class:`MisfitError` with every difference.
        OSError: If the file cannot be written; nothing stays behind.

    Examples:
        >>> publish_mmentity('CropFormer_hornet_3x_03823a.pth', 'checkpoints/').path
        PosixPath('checkpoints/cropformer_hornet-l_3x_1f0d6c25.pth')
    """
    target = _check_target(target)
    recognised = recognise_file(read_checkpoint(source), source)
    if recognised.source == OURS:
        raise WeightsError(
            f'the names in {source} are those of OpenMMLab already; load it as it is, or '
            'convert it for Detectron2 with mmentity_to_detectron2'
        )
    configs = _configs_of(recognised, source, config)
    content = {
        'meta': {
            **provenance(recognised, source),
            'source_sha256': sha256_of(source),
            'mmentity_version': __version__,
            **_settings(configs[0] if recognised.source != BACKBONE else None),
        },
        'state_dict': _stored(recognised.state_dict, half),
    }
    name = Path(configs[0]).stem if recognised.source != BACKBONE else Path(source).stem
    path = save_named_by_content(content, target, name)
    translation = recognised.translation
    description = f'{describe(recognised.state_dict)}, of {recognised.source}'
    return Published(path, description, configs, translation.mapped, translation.dropped)


def publish_detectron2(source: Union[str, Path], target: Union[str, Path]) -> Published:
    """Convert a checkpoint of mmentity into a file for the official code.

    Args:
        source: Checkpoint of a training run here, or a converted one.
        target: ``.pth`` to write, or a folder; named by content as in
            :func:`publish_mmentity`.

    Raises:
        FileNotFoundError: If ``source`` does not exist.
        WeightsError: If it cannot be read or is not of mmentity.
        OSError: If the file cannot be written; nothing stays behind.

    Examples:
        >>> publish_detectron2('work_dirs/run/iter_206250.pth', 'for_detectron2/')
    """
    target = _check_target(target)
    checkpoint = read_checkpoint(source)
    recognised = recognise_file(checkpoint, source)
    if recognised.source != OURS:
        raise WeightsError(f'{source} is of {recognised.source}, not in the names of mmentity')
    try:
        translation = translate_mmentity(recognised.state_dict)
    except ValueError as error:
        raise WeightsError(f'{source}: {error}') from error
    meta = checkpoint.get('meta') or {}
    kept = {key: meta[key] for key in ('authors', 'licence') if key in meta}
    content = {
        # the official code runs in float32
        'model': {
            name: value.float() if value.is_floating_point() else value
            for name, value in translation.state_dict.items()
        },
        'meta': {**kept, 'source': Path(source).name, 'mmentity_version': __version__},
    }
    path = save_named_by_content(content, target, f'{Path(source).stem}_detectron2')
    return Published(
        path,
        describe(recognised.state_dict),
        fitting_configs(recognised),
        translation.mapped,
        translation.dropped,
    )


def save_named_by_content(content: dict, target: Path, name: str) -> Path:
    """Write a checkpoint under a name that ends in the first 8 digits of its sha256.

    Args:
        content: What to save.
        target: ``.pth`` file or folder.
        name: Name without suffix for a file in a folder.

    Returns:
        The written file.

    Raises:
        OSError: If it cannot be written; nothing stays behind.
    """
    folder, stem = (target.parent, target.stem) if target.suffix else (target, name)
    # the name has to be known before writing: the first pass counts without a disk
    digest = _Hash()
    torch.save(content, digest)
    path = folder / f'{stem}_{digest.sha256.hexdigest()[:8]}.pth'
    try:
        with whole_file(path) as partial, partial.open('wb') as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OSError(
            f'{path} could not be written ({reason}); nothing was left behind, look at the free '
            'space and the permissions there'
        ) from error
    return path


class _Hash:
    """A file to write to that keeps nothing but the sha256."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.sha256.update(content)
        return len(content)

    def flush(self) -> None:
        """Do nothing, as nothing is kept."""


def _check_target(target: Union[str, Path]) -> Path:
    path = Path(target).expanduser()
    if path.suffix not in ('', '.pth') and not path.is_dir():
        raise WeightsError(f'{target} must end in .pth, or be a folder')
    return path


def _configs_of(
    recognised: Recognised, source: Union[str, Path], config: Optional[Union[str, Path]]
) -> list:
    """Configs that weights fit, checked against the one that is asked for."""
    if config is not None:
        differences = differences_of(recognised, expected_shapes(config))
        if differences:
            sentence = misfit(source, str(config), recognised, differences.summary())
            raise MisfitError(sentence, differences)
        return [str(config)]
    fitting = fitting_configs(recognised)
    if not fitting and recognised.source != BACKBONE:
        nearest, differences = nearest_config(recognised)
        raise MisfitError(
            f'{source} is a {describe(recognised.state_dict)}, which no shipped config is; the '
            f'nearest is {nearest}: {differences.summary()}; give a config of yours with --config',
            differences,
        )
    return fitting


def _settings(config: Optional[Union[str, Path]]) -> dict:
    """Config and classes, as mmengine keeps them in ``meta``."""
    if config is None:
        return {}
    loaded = Config.fromfile(find_config(config))
    settings = {'config': Path(config).name, 'cfg': loaded.pretty_text}
    loader = loaded.get('test_dataloader') or loaded.get('val_dataloader')
    dataset = DATASETS.get(loader.dataset.type) if loader else None
    if dataset is not None:
        settings['dataset_meta'] = dict(dataset.METAINFO)
    return settings


def _stored(state_dict: dict, half: bool) -> dict:
    """Weights as they are saved."""
    return {name: _half(name, value) if half else value for name, value in state_dict.items()}


def _half(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    small = value.half()
    if small.isinf().any() and not value.isinf().any():
        raise WeightsError(f'{name} has values beyond float16; leave out --half')
    return small
