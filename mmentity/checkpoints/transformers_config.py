"""What transformers has to know of a model beside its weights: their sizes, and its images.

Names and shapes of the weights say most of it; what they do not show comes from the config of
mmentity.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from torch import Tensor

from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.transformers_folder import SHARED, SHARED_BACKBONE

SWIN = 'model.pixel_level_module.encoder.'
PIXELS = 'model.pixel_level_module.decoder.'
QUERIES = 'model.transformer_module.'
# of a head of deformable attention: 4 on each of 3 levels
SAMPLING_POINTS = 12
WINDOW_TABLE = 'layers.{}.blocks.0.attention.self.relative_position_bias_table'


def model_config(
    state_dict: Mapping[str, Tensor], settings: Config, classes: Sequence[str]
) -> dict[str, Any]:
    """Make ``config.json`` of a ``Mask2FormerForUniversalSegmentation``.

    Args:
        state_dict: Weights in the names of transformers.
        settings: Config of the model in mmentity.
        classes: Their names; where there are none, they get numbers.

    Raises:
        WeightsError: If the model has a number of heads that transformers cannot give it.
    """
    layer, attention = f'{QUERIES}decoder.layers.0.', f'{PIXELS}encoder.layers.0.self_attn.'
    num_classes = len(state_dict['class_predictor.bias']) - 1
    labels = classes if len(classes) == num_classes else [f'class_{k}' for k in range(num_classes)]
    hidden, feedforward = state_dict[f'{layer}fc1.weight'].T.shape
    heads = len(state_dict[f'{attention}attention_weights.bias']) // SAMPLING_POINTS
    _check_heads(settings, heads)
    return {
        **SHARED,
        'architectures': ['Mask2FormerForUniversalSegmentation'],
        'backbone_config': _backbone_config(state_dict, settings),
        'feature_size': len(state_dict[f'{attention}value_proj.bias']),
        'mask_feature_size': len(state_dict[f'{PIXELS}mask_projection.bias']),
        'hidden_dim': hidden,
        'dim_feedforward': feedforward,
        'encoder_feedforward_dim': len(state_dict[f'{PIXELS}encoder.layers.0.fc1.bias']),
        'encoder_layers': _count(state_dict, f'{PIXELS}encoder.layers.'),
        # transformers counts the predictions, one of which is before the first layer
        'decoder_layers': _count(state_dict, f'{QUERIES}decoder.layers.') + 1,
        'num_attention_heads': heads,
        'num_queries': len(state_dict[f'{QUERIES}queries_features.weight']),
        'id2label': {str(k): label for k, label in enumerate(labels)},
        'label2id': {label: k for k, label in enumerate(labels)},
        'dtype': str(state_dict['class_predictor.bias'].dtype).removeprefix('torch.'),
    }


def processor_config(settings: Config) -> dict[str, Any]:
    """Make ``preprocessor_config.json`` of a ``Mask2FormerImageProcessor``."""
    pixels = settings.model.data_preprocessor
    resize = _test_resize(settings)
    return {
        'image_processor_type': 'Mask2FormerImageProcessor',
        'do_resize': True,
        'size': {'shortest_edge': resize['short_side'], 'longest_edge': resize['long_side']},
        'resample': 2,  # bilinear
        'size_divisor': pixels.get('pad_size_divisor', 32),
        'do_rescale': True,
        'rescale_factor': 1 / 255,
        'do_normalize': True,
        'image_mean': [round(value / 255, 6) for value in pixels['mean']],
        'image_std': [round(value / 255, 6) for value in pixels['std']],
        'do_reduce_labels': False,
        'ignore_index': 255,
    }


def _backbone_config(state_dict: Mapping[str, Tensor], settings: Config) -> dict[str, Any]:
    layers = f'{SWIN}encoder.layers.'
    stages = range(_count(state_dict, layers))
    tables = [state_dict[f'{SWIN}encoder.{WINDOW_TABLE.format(k)}'] for k in stages]
    return {
        **SHARED_BACKBONE,
        'embed_dim': len(state_dict[f'{SWIN}embeddings.patch_embeddings.projection.bias']),
        'depths': [_count(state_dict, f'{layers}{k}.blocks.') for k in stages],
        'num_heads': [table.shape[1] for table in tables],
        'window_size': (int(len(tables[0]) ** 0.5) + 1) // 2,
        'drop_path_rate': settings.model.backbone.get('drop_path_rate', 0.0),
        'out_features': [f'stage{k + 1}' for k in stages],
    }


def _check_heads(settings: Config, heads: int) -> None:
    """Check what no shape shows: that all attention beyond the backbone has as many heads."""
    layer = settings.model.panoptic_head.transformer_decoder.layer_cfg
    for name in ('self_attn_cfg', 'cross_attn_cfg'):
        if layer[name].get('num_heads', 8) != heads:
            raise WeightsError(
                f'the pixel decoder has {heads} heads of attention, {name} of the decoder '
                f'{layer[name].num_heads}; in transformers both have the same number'
            )


def _count(state_dict: Mapping[str, Tensor], prefix: str) -> int:
    """Count the numbers that follow a prefix in the names of weights."""
    numbered = re.compile(re.escape(prefix) + r'(\d+)\.')
    return len({match[1] for match in map(numbered.match, state_dict) if match})


def _test_resize(settings: Config) -> dict[str, int]:
    """Find to which sides images are resized in testing, px."""
    loader = settings.get('test_dataloader')
    for step in loader.dataset.pipeline if loader else settings.get('test_pipeline', ()):
        if step['type'].split('.')[-1] == 'ResizeViews' and isinstance(step['short_side'], int):
            return {key: step[key] for key in ('short_side', 'long_side')}
    raise WeightsError(
        f'config {settings.filename} has no ResizeViews with one short_side in its test pipeline, '
        'which says how images are resized'
    )
