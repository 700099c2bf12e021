"""Weights of any known source into a model, converted in memory."""

from pathlib import Path
from typing import Union

from mmengine.logging import MMLogger
from torch import nn

from mmentity.checkpoints.read import WeightsError, read_checkpoint, weights_of
from mmentity.checkpoints.recognise import (
    BACKBONE,
    OFFICIAL,
    Recognised,
    compare,
    fitting_configs,
    recognise,
    shapes_of,
)

AUTHORS = 'https://github.com/qqlu/Entity'
LICENCE = 'CC BY-NC 4.0, non-commercial use only'


def load_weights(model: nn.Module, path: Union[str, Path]) -> dict:
    """Load a checkpoint into a model, converted in memory where it is official.

    Every name and shape has to fit; values are cast to the model's dtype and
    moved to its device.

    Args:
        model: Model of a shipped config, or of one of yours.
        path: Official checkpoint (``.pth`` with or without its wrapper, or
            ``.pkl``), converted one, or one of a training run here.

    Returns:
        The checkpoint's ``meta``, with ``dataset_meta`` or ``cfg`` where it has
        them; for an official one its source and licence.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightsError: A ValueError, if it cannot be read, belongs to another project, or does not
            fit the model.

    Examples:
        >>> from mmdet.apis import init_detector
        >>> model = init_detector('configs/cropformer_hornet-l_3x.py', device='cpu')
        >>> load_weights(model, 'CropFormer_hornet_3x_03823a.pth')
    """
    checkpoint = read_checkpoint(path)
    recognised = recognise_file(checkpoint, path)
    differences = compare(recognised.state_dict, shapes_of(model))
    if differences:
        raise WeightsError(misfit(path, 'the model', recognised, differences.summary()))
    announce(recognised, path)
    model.load_state_dict(recognised.state_dict, strict=True)
    meta = checkpoint.get('meta')
    return dict(meta) if isinstance(meta, dict) else provenance(recognised, path)


def recognise_file(checkpoint: dict, path: Union[str, Path]) -> Recognised:
    """Recognise the weights of a checkpoint; a :class:`WeightsError` names the file."""
    try:
        return recognise(weights_of(checkpoint, path))
    except ValueError as error:
        message = str(error)
        raise WeightsError(message if str(path) in message else f'{path}: {message}') from error


def misfit(path: Union[str, Path], target: str, recognised: Recognised, summary: str) -> str:
    """Say that weights do not fit, how, and what they fit."""
    fitting = fitting_configs(recognised)
    if recognised.source == BACKBONE:
        return (
            f'{path} holds a backbone alone, which cannot be tested; begin a training with it as '
            'load_from'
        )
    mend = f'they fit {" and ".join(fitting)}' if fitting else 'they fit no shipped config'
    return f'the weights of {path} do not fit {target}: {summary}; {mend}'


def announce(recognised: Recognised, path: Union[str, Path]) -> None:
    """Log one line about weights that were converted in memory."""
    if recognised.source in (OFFICIAL, BACKBONE):
        translation = recognised.translation
        MMLogger.get_current_instance().info(
            f'{path} is of {recognised.source}: {len(translation.mapped)} weights converted in '
            f'memory, {len(translation.dropped)} constants left out'
        )


def provenance(recognised: Recognised, path: Union[str, Path]) -> dict:
    """Say where converted weights come from, for the ``meta`` of a checkpoint."""
    if recognised.source != OFFICIAL:
        return {'source': Path(path).name}
    return {'source': Path(path).name, 'authors': AUTHORS, 'licence': LICENCE}
