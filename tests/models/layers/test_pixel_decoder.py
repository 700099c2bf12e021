"""Our pixel decoder against mmdet's, and how configs ask for it."""

import copy

import pytest
import torch
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmengine.config import ConfigDict
from mmengine.utils import digit_version
from torch import nn

from mmentity.models import EntityPixelDecoder
from mmentity.models.layers.attention import FusedAttention
from mmentity.models.layers.deformable_attention import DeformableAttention
from tests.models.parity import build, with_same_weights

CHANNELS = (16, 24, 32, 40)
CONFIG = ConfigDict(
    in_channels=CHANNELS,
    strides=[4, 8, 16, 32],
    feat_channels=32,
    out_channels=16,
    norm_cfg={'type': 'GN', 'num_groups': 8},
    encoder={
        'num_layers': 2,
        'layer_cfg': {
            'self_attn_cfg': {'embed_dims': 32, 'num_heads': 4, 'num_levels': 3},
            'ffn_cfg': {'embed_dims': 32, 'feedforward_channels': 64},
        },
    },
    positional_encoding={'num_feats': 16, 'normalize': True},
)


def decoders_on(device):
    plain = MSDeformAttnPixelDecoder(**copy.deepcopy(CONFIG))
    return with_same_weights(plain, EntityPixelDecoder(**copy.deepcopy(CONFIG)), device)


@pytest.fixture
def decoders(device):
    return decoders_on(device)


def features(device='cpu', batch_size=2):
    torch.manual_seed(1)
    return [
        torch.randn(batch_size, channels, 40 // 2**level, 56 // 2**level).to(device)
        for level, channels in enumerate(CHANNELS)
    ]


@pytest.mark.parametrize('with_gradient', [False, True])
def test_equals_the_plain_one(decoders, with_gradient, device):
    with torch.set_grad_enabled(with_gradient):
        (expected, expected_levels), (mask_features, levels) = (
            decoder(features(device)) for decoder in decoders
        )
    assert torch.allclose(mask_features, expected, rtol=1e-4, atol=1e-3)
    assert len(levels) == len(expected_levels) == 3
    for level, expected_level in zip(levels, expected_levels):
        assert level.shape == expected_level.shape
        assert torch.allclose(level, expected_level, rtol=1e-4, atol=1e-3)


def test_encoded_maps_lie_in_memory_as_feature_maps(decoders, device):
    """So that the levels are cut out and resized without copies."""
    with torch.no_grad():
        levels = decoders[1](features(device)).multi_scale
    starts = {level.untyped_storage().data_ptr() for level in levels}
    assert len(starts) == 1
    assert all(level[0, 0].is_contiguous() for level in levels)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_can_be_traced():
    class MaskFeatures(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = decoders_on('cpu')[1]

        def forward(self, *maps):
            return self.decoder(maps).mask_features

    module, inputs = MaskFeatures().eval(), tuple(features())
    with torch.no_grad():
        expected = module(*inputs)
        again = [torch.jit.trace(module, inputs, check_trace=False)]
        if digit_version(torch.__version__) >= digit_version('2.5'):
            again.append(torch.export.export(module, inputs).module())
        for traced in again:
            assert torch.allclose(traced(*inputs), expected, atol=1e-5)


@pytest.mark.parametrize(
    'kind',
    [
        'MSDeformAttnPixelDecoder',
        'mmdet.MSDeformAttnPixelDecoder',
        MSDeformAttnPixelDecoder,
        'mmentity.EntityPixelDecoder',
    ],
)
def test_heads_build_it_where_a_config_names_that_of_mmdet(kind):
    head = build(
        '_base_/models/mask2former_swin-nano.py',
        {'model.panoptic_head.pixel_decoder.type': kind, 'model.panoptic_head.with_cp': True},
    ).panoptic_head
    assert type(head.pixel_decoder) is EntityPixelDecoder
    for layer in head.pixel_decoder.encoder.layers:
        assert type(layer.self_attn) is DeformableAttention
        assert layer.with_cp
    for layer in head.transformer_decoder.layers:
        assert type(layer.self_attn) is type(layer.cross_attn) is FusedAttention
        assert layer.with_cp
