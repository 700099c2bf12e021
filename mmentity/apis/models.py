"""The model, config and device that a user names."""

from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from torch import nn

from mmentity.checkpoints.hub import weights_file
from mmentity.converters import load_weights
from mmentity.utils.shipped_configs import get_config


def get_model(
    config: Union[str, Path, Config],
    weights: Optional[Union[str, Path]] = None,
    device: Optional[str] = None,
) -> nn.Module:
    """Build a model for prediction, of any task.

    It is what mmdet's ``init_detector`` gives: ``inference_detector(model, image)``
    and ``EntityInferencer(model)`` take it.

    Args:
        config: Name of a shipped config (``'cropformer_hornet-l_3x'``), path of a
            config, or config.
        weights: Checkpoint: trained here, converted, or of the official release;
            ``'official'`` fetches the authors' weights of a shipped config (for
            non-commercial use only). Without one the model is as random as it was built.
        device: Such as ``'cuda:0'``; the best that is there by default.

    Returns:
        The model in evaluation mode, with its config as ``cfg`` and the classes of
        its weights, or else of the test data of the config, in ``dataset_meta``.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the weights cannot be fetched or do not fit, or the device cannot be used.

    Examples:
        >>> from mmdet.apis import inference_detector
        >>> model = get_model('cropformer_hornet-l_3x', 'CropFormer_hornet_3x_03823a.pth')
        >>> inference_detector(model, 'street.jpg').pred_entity_map.ids.shape
        torch.Size([1, 1080, 1920])
    """
    config = config if isinstance(config, Config) else get_config(config)
    device = usable_device(device or get_device())
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmdet')):
        model = MODELS.build(config.model)
        model.dataset_meta = _metainfo_of(config)
    if weights is None:
        MMLogger.get_current_instance().warning(
            'no weights are given: the model is random, and so is what it predicts'
        )
    else:
        meta = load_weights(model, weights_file(weights, config))
        model.dataset_meta.update(meta.get('dataset_meta', {}))
    model.cfg = config
    return model.to(device).eval()


def _metainfo_of(config: Config) -> dict[str, Any]:
    """Metainfo of the test data of a config; nothing is read."""
    if 'test_dataloader' not in config:
        return {}
    return dict(DATASETS.build({**config.test_dataloader.dataset, 'lazy_init': True}).metainfo)


def usable_device(device: str) -> str:
    """Check that a device exists and computes.

    Raises:
        ValueError: If it does not; the message names those that do.
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
