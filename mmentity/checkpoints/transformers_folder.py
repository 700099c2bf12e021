"""A model of transformers as a folder: its weights, settings and classes.

Only json is read and written here, so that transformers itself is not needed, and any version
of it reads the same folder.
"""

import json
from pathlib import Path
from typing import Any

from mmentity.checkpoints.errors import WeightsError

CONFIG = 'config.json'
WEIGHTS = 'model.safetensors'
# of models saved before transformers wrote safetensors
OLDER_WEIGHTS = 'pytorch_model.bin'
SHARDS = ('model.safetensors.index.json', 'pytorch_model.bin.index.json')

# What a config may set, and names and shapes of weights do not show: the architecture that
# models here share with those of transformers. A key that is missing has this value there.
SHARED = {
    'model_type': 'mask2former',
    'activation_function': 'relu',
    'common_stride': 4,
    'feature_strides': [4, 8, 16, 32],
    'pre_norm': False,
}
SHARED_BACKBONE = {
    'model_type': 'swin',
    'hidden_act': 'gelu',
    'layer_norm_eps': 1e-05,
    'patch_size': 4,
    'use_absolute_embeddings': False,
}


def weights_in(folder: Path) -> Path:
    """Find the file of weights in the folder of a model that mmentity can have too.

    Raises:
        FileNotFoundError: If there is none.
        WeightsError: If the model is another one, or its weights are in several files.
    """
    if (folder / CONFIG).is_file():
        _check_config(folder)
    for name in (WEIGHTS, OLDER_WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    if any((folder / name).is_file() for name in SHARDS):
        raise WeightsError(
            f'{folder} has its weights in several files; save it as one, with '
            "model.save_pretrained(folder, max_shard_size='50GB')"
        )
    raise FileNotFoundError(
        f'{folder} is a folder without {WEIGHTS}; give a checkpoint, or the folder of a '
        'Mask2Former of transformers'
    )


def meta_in(folder: Path) -> dict[str, Any]:
    """Read the classes of the model in a folder, as the ``meta`` of a checkpoint has them."""
    labels = _read_config(folder).get('id2label') if (folder / CONFIG).is_file() else None
    if not labels:
        return {}
    classes = tuple(labels[key] for key in sorted(labels, key=int))
    return {'dataset_meta': {'classes': classes}, 'source': folder.name}


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise WeightsError(f'{path} is no json ({error}); copy the folder again') from error
    if not isinstance(config, dict):
        raise WeightsError(f'{path} is not the config of a model of transformers')
    return config


def _check_config(folder: Path) -> None:
    """Check that a config asks for no other architecture than models of mmentity have."""
    config = _read_config(folder)
    backbone = config.get('backbone_config') or {}
    for settings, shared, where in (
        (config, SHARED, ''),
        (backbone, SHARED_BACKBONE, 'backbone_config.'),
    ):
        for key, value in shared.items():
            if settings.get(key, value) != value:
                raise WeightsError(
                    f'{folder / CONFIG} has {where}{key} {settings[key]!r}, models of mmentity '
                    f'that transformers has too have {value!r}; this model has no counterpart here'
                )
