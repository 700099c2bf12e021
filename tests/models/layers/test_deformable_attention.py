"""Every way of deformable attention against mmcv's module, whose weights it uses."""

import sys
import types

import mmcv
import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.layers.transformer.mask2former_layers import Mask2FormerTransformerEncoder

from mmentity.models.layers import deformable_attention, pixel_decoder, sampled_sums
from mmentity.models.layers.deformable_attention import DeformableAttention, attention_way
from mmentity.models.layers.pixel_decoder import PixelEncoder
from tests.models.parity import with_same_weights

SIZES = [(5, 7), (3, 2)]


@pytest.fixture(params=['embedding_bag', 'grid_sample'])
def way(request, monkeypatch):
    """Compute on the CPU in a way of another device too."""
    for module in (deformable_attention, pixel_decoder):
        monkeypatch.setattr(module, 'attention_way', lambda device: request.param)
    return request.param


def both(*args, **kwargs):
    return with_same_weights(
        MultiScaleDeformableAttention(*args, batch_first=True, **kwargs),
        DeformableAttention(*args, batch_first=True, **kwargs),
    )


def for_plain(inputs):
    """Sizes as tensors, as mmcv's module takes them."""
    shapes = torch.tensor(inputs['spatial_shapes'])
    starts = shapes.prod(1).cumsum(0) - shapes.prod(1)
    return {**inputs, 'spatial_shapes': shapes, 'level_start_index': starts}


@pytest.mark.parametrize('distance', [1, 30])
def test_equals_bilinear_sampling(distance, way, monkeypatch):
    monkeypatch.setattr(sampled_sums, 'QUERY_CHUNK', 13)
    plain, ours = both(32, 4, num_levels=2, num_points=3)
    query = distance * torch.randn(2, 41, 32)  # a large distance samples outside of the maps too
    inputs = {
        'query_pos': torch.randn(2, 41, 32),
        'reference_points': torch.rand(2, 41, 2, 2),
        'spatial_shapes': SIZES,
        'key_padding_mask': torch.rand(2, 41) < 0.2,
    }
    leaves = {name: inputs[name].requires_grad_() for name in ('query_pos', 'reference_points')}
    weight = torch.randn(2, 41, 32)
    gradients = []
    for attention, arguments in ((plain, for_plain(inputs)), (ours, inputs)):
        result = attention(query, **arguments)
        (result * weight).sum().backward()
        gradients.append({name: leaf.grad for name, leaf in leaves.items()})
        gradients[-1].update({name: p.grad for name, p in attention.named_parameters()})
        for leaf in leaves.values():
            leaf.grad = None
    expected = plain(query, **for_plain(inputs))
    assert torch.allclose(result, expected, rtol=1e-4, atol=1e-4 * distance)
    with torch.no_grad():
        assert torch.allclose(ours(query, **inputs), expected, rtol=1e-4, atol=1e-4 * distance)
    for name, gradient in gradients[0].items():
        scale = gradient.abs().max()
        assert torch.allclose(gradients[1][name], gradient, rtol=1e-3, atol=1e-5 * scale), name


def test_encoder_equals_the_plain_one(way, monkeypatch):
    monkeypatch.setattr(sampled_sums, 'QUERY_CHUNK', 13)
    attention = {'embed_dims': 32, 'num_heads': 4, 'num_levels': 2, 'num_points': 3}
    layer = {'self_attn_cfg': attention, 'ffn_cfg': {'embed_dims': 32, 'feedforward_channels': 64}}
    plain, ours = with_same_weights(
        Mask2FormerTransformerEncoder(num_layers=2, layer_cfg=layer), PixelEncoder(2, layer)
    )
    inputs = {
        'query_pos': torch.randn(2, 41, 32),
        'key_padding_mask': torch.rand(2, 41) < 0.2,
        'reference_points': torch.rand(2, 41, 2, 2),
        'spatial_shapes': SIZES,
    }
    query = torch.randn(2, 41, 32)
    with torch.no_grad():
        expected = plain(query=query, valid_ratios=torch.ones(2, 2, 2), **for_plain(inputs))
        result = ours(query=query, **inputs)
    assert torch.allclose(result, expected, atol=1e-4)
    assert torch.allclose(ours(query=query, **inputs), expected, atol=1e-4), 'with a gradient'


def test_a_device_equals_the_cpu(device):
    """In the way that it has, with gradients."""
    _, ours = both(32, 4, num_levels=2, num_points=3)
    query, points = torch.randn(2, 41, 32), torch.rand(2, 41, 2, 2)
    results = []
    for place in ('cpu', device):
        ours.to(place).zero_grad()
        inputs = {'reference_points': points.to(place), 'spatial_shapes': SIZES}
        result = ours(query.to(place), **inputs)
        result.square().sum().backward()
        results.append((result.detach().cpu(), ours.value_proj.weight.grad.cpu()))
    for expected, value in zip(*results):
        assert torch.allclose(value, expected, rtol=1e-3, atol=1e-3 * expected.abs().max())


def test_what_is_not_a_number_stays_so_and_harms_nothing_else(way):
    _, ours = both(32, 4, num_levels=1)
    query = torch.randn(1, 12, 32)
    query[0, 5] = torch.nan
    inputs = {
        'value': torch.randn(1, 12, 32),
        'reference_points': torch.rand(1, 12, 1, 2),
        'spatial_shapes': [(3, 4)],
    }
    result = ours(query.requires_grad_(), **inputs)
    assert result[0, 5].isnan().all()
    others = torch.arange(12) != 5
    assert result[0, others].isfinite().all()
    result[0, others].sum().backward()
    assert query.grad[0, others].isfinite().all()


@pytest.mark.parametrize(
    ('extension', 'expected'),
    [
        ({'get_compiling_cuda_version': '12.1'}, 'compiled'),
        ({'get_compiling_cuda_version': 'not available'}, 'grid_sample'),
        ({'__mmentity_stand_in__': True}, 'grid_sample'),
    ],
)
def test_way_of_a_device(extension, expected, monkeypatch):
    module = types.ModuleType('mmcv._ext')
    module.ms_deform_attn_forward = None
    for name, value in extension.items():
        setattr(module, name, value if value is True else lambda value=value: value)
    monkeypatch.setitem(sys.modules, 'mmcv._ext', module)
    monkeypatch.setattr(mmcv, '_ext', module, raising=False)
    assert attention_way('cuda') == expected
    assert attention_way(torch.device('mps')) == 'grid_sample'
    assert attention_way('cpu') == 'embedding_bag'


def test_compiled_op_gets_what_it_takes(monkeypatch):
    """The call of mmcv's CUDA op, played by its twin for the CPU."""
    calls = []

    class Op:
        @staticmethod
        def apply(values, shapes, starts, locations, attention, im2col_step):
            calls.append((shapes.tolist(), starts.tolist(), im2col_step))
            return deformable_attention.multi_scale_deformable_attn_pytorch(
                values, shapes, locations, attention
            )

    monkeypatch.setattr(deformable_attention, 'attention_way', lambda device: 'compiled')
    monkeypatch.setattr(deformable_attention, 'MultiScaleDeformableAttnFunction', Op)
    plain, ours = both(32, 4, num_levels=2, num_points=3)
    inputs = {'reference_points': torch.rand(2, 41, 2, 2), 'spatial_shapes': SIZES}
    query = torch.randn(2, 41, 32)
    assert torch.allclose(ours(query, **inputs), plain(query, **for_plain(inputs)), atol=1e-4)
    assert calls == [([[5, 7], [3, 2]], [0, 35], 64)]
