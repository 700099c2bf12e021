"""Faster attention against the modules of mmcv whose weights it uses."""

import copy

import pytest
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.layers.transformer.mask2former_layers import Mask2FormerTransformerEncoder
from torch import nn

from mmentity.models.layers import deformable_attention as deformable
from mmentity.models.layers.attention import FusedAttention, share_kernels
from mmentity.models.layers.deformable_attention import BagDeformableAttention


def both(module):
    """A module of mmcv with random weights, and its faster twin."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    twin = nn.ModuleList([copy.deepcopy(module)])
    share_kernels(twin)
    assert twin[0].state_dict().keys() == module.state_dict().keys()
    return module.eval(), twin[0].eval()


@pytest.mark.parametrize('spread', [1, 30])
def test_bags_equal_bilinear_sampling(spread, monkeypatch):
    monkeypatch.setattr(deformable, 'QUERY_CHUNK', 13)
    module = MultiScaleDeformableAttention(32, 4, num_levels=2, num_points=3, batch_first=True)
    plain, bags = both(module)
    assert type(bags) is BagDeformableAttention
    shapes = torch.tensor([[5, 7], [3, 2]])
    query = spread * torch.randn(2, 41, 32)  # a large spread samples outside of the maps too
    inputs = {
        'query_pos': torch.randn(2, 41, 32),
        'reference_points': torch.rand(2, 41, 2, 2),
        'spatial_shapes': shapes,
        'level_start_index': torch.tensor([0, 35]),
        'key_padding_mask': torch.rand(2, 41) < 0.2,
    }
    leaves = {name: inputs[name].requires_grad_() for name in ('query_pos', 'reference_points')}
    weight = torch.randn(2, 41, 32)
    gradients = []
    for attention in (plain, bags):
        result = attention(query, **inputs)
        (result * weight).sum().backward()
        gradients.append({name: leaf.grad for name, leaf in leaves.items()})
        gradients[-1].update({name: p.grad for name, p in attention.named_parameters()})
        for leaf in leaves.values():
            leaf.grad = None
    expected = plain(query, **inputs)
    assert torch.allclose(result, expected, rtol=1e-4, atol=1e-4 * spread)
    with torch.no_grad():
        assert torch.allclose(bags(query, **inputs), expected, rtol=1e-4, atol=1e-4 * spread)
    for name, gradient in gradients[0].items():
        scale = gradient.abs().max()
        assert torch.allclose(gradients[1][name], gradient, rtol=1e-3, atol=1e-5 * scale), name


def test_encoder_of_chunks_equals_the_plain_one(monkeypatch):
    monkeypatch.setattr(deformable, 'QUERY_CHUNK', 13)
    attention = {'embed_dims': 32, 'num_heads': 4, 'num_levels': 2, 'num_points': 3}
    layer = {'self_attn_cfg': attention, 'ffn_cfg': {'embed_dims': 32, 'feedforward_channels': 64}}
    plain, chunks = both(Mask2FormerTransformerEncoder(num_layers=2, layer_cfg=layer))
    assert type(chunks.layers[0]) is deformable.ChunkedEncoderLayer
    inputs = {
        'query_pos': torch.randn(2, 41, 32),
        'key_padding_mask': torch.rand(2, 41) < 0.2,
        'reference_points': torch.rand(2, 41, 2, 2),
        'spatial_shapes': torch.tensor([[5, 7], [3, 2]]),
        'level_start_index': torch.tensor([0, 35]),
        'valid_ratios': torch.ones(2, 2, 2),
    }
    query = torch.randn(2, 41, 32)
    with torch.no_grad():
        expected, result = plain(query=query, **inputs), chunks(query=query, **inputs)
    assert torch.allclose(result, expected, atol=1e-4)
    assert result.transpose(1, 2).is_contiguous()
    assert torch.allclose(chunks(query=query, **inputs), expected, atol=1e-4), 'with a gradient'


def test_what_is_not_a_number_stays_so_and_harms_nothing_else():
    _, bags = both(MultiScaleDeformableAttention(32, 4, num_levels=1, batch_first=True))
    query = torch.randn(1, 12, 32)
    query[0, 5] = torch.nan
    inputs = {
        'value': torch.randn(1, 12, 32),
        'reference_points': torch.rand(1, 12, 1, 2),
        'spatial_shapes': torch.tensor([[3, 4]]),
        'level_start_index': torch.tensor([0]),
    }
    result = bags(query.requires_grad_(), **inputs)
    assert result[0, 5].isnan().all()
    others = torch.arange(12) != 5
    assert result[0, others].isfinite().all()
    result[0, others].sum().backward()
    assert query.grad[0, others].isfinite().all()


def test_fused_attention_equals_the_plain_one():
    plain, fused = both(MultiheadAttention(32, 4, batch_first=True))
    assert type(fused) is FusedAttention
    query, key = torch.randn(2, 5, 32), torch.randn(2, 9, 32)
    blocked = torch.rand(2, 5, 9) < 0.4
    blocked[..., 0] = False
    inputs = {
        'key': key,
        'value': torch.randn(2, 9, 32),
        'query_pos': torch.randn(1, 5, 32),
        'key_pos': torch.randn(1, 9, 32),
    }
    expected = plain(query, attn_mask=blocked.repeat_interleave(4, dim=0), **inputs)
    result = fused(query, attn_mask=blocked, **inputs)
    assert torch.allclose(result, expected, atol=1e-5)
    padding = torch.zeros(2, 9, dtype=torch.bool)
    padding[:, 7:] = True
    expected = plain(query, key_padding_mask=padding, **inputs)
    assert torch.allclose(fused(query, key_padding_mask=padding, **inputs), expected, atol=1e-5)
    assert torch.allclose(fused(query, query_pos=query), plain(query, query_pos=query), atol=1e-5)


def test_gradients_equal():
    plain, fused = both(MultiheadAttention(16, 2, batch_first=True))
    query, key = torch.randn(1, 3, 16), torch.randn(1, 6, 16)
    for module in (plain, fused):
        module(query, key).square().sum().backward()
    for name, parameter in plain.named_parameters():
        assert torch.allclose(fused.get_parameter(name).grad, parameter.grad, atol=1e-4), name
