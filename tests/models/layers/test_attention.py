"""Faster attention against the modules of mmcv and mmdet whose weights it uses."""

import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers.transformer.mask2former_layers import Mask2FormerTransformerDecoder

from mmentity.models.layers.attention import FusedAttention
from mmentity.models.layers.transformer_decoder import FusedDecoder
from tests.models.parity import with_same_weights


def test_fused_attention_equals_the_plain_one(device):
    plain, fused = with_same_weights(
        MultiheadAttention(32, 4, batch_first=True), FusedAttention(32, 4, batch_first=True), device
    )
    query, key = torch.randn(2, 5, 32, device=device), torch.randn(2, 9, 32, device=device)
    blocked = torch.rand(2, 5, 9, device=device) < 0.4
    blocked[..., 0] = False
    inputs = {
        'key': key,
        'value': torch.randn(2, 9, 32, device=device),
        'query_pos': torch.randn(1, 5, 32, device=device),
        'key_pos': torch.randn(1, 9, 32, device=device),
    }
    expected = plain(query, attn_mask=blocked.repeat_interleave(4, dim=0), **inputs)
    result = fused(query, attn_mask=blocked, **inputs)
    assert torch.allclose(result, expected, atol=1e-5)
    padding = torch.zeros(2, 9, dtype=torch.bool, device=device)
    padding[:, 7:] = True
    expected = plain(query, key_padding_mask=padding, **inputs)
    assert torch.allclose(fused(query, key_padding_mask=padding, **inputs), expected, atol=1e-5)
    assert torch.allclose(fused(query, query_pos=query), plain(query, query_pos=query), atol=1e-5)


def test_gradients_equal(device):
    plain, fused = with_same_weights(
        MultiheadAttention(16, 2, batch_first=True), FusedAttention(16, 2, batch_first=True), device
    )
    query, key = torch.randn(1, 3, 16, device=device), torch.randn(1, 6, 16, device=device)
    for module in (plain, fused):
        module(query, key).square().sum().backward()
    for name, parameter in plain.named_parameters():
        assert torch.allclose(fused.get_parameter(name).grad, parameter.grad, atol=1e-4), name


def test_decoder_equals_the_plain_one_with_a_mask_for_each_head(device):
    attention = {'embed_dims': 32, 'num_heads': 4}
    ffn = {'embed_dims': 32, 'feedforward_channels': 64}
    layer = {'self_attn_cfg': attention, 'cross_attn_cfg': dict(attention), 'ffn_cfg': ffn}
    plain, fused = with_same_weights(
        Mask2FormerTransformerDecoder(2, layer), FusedDecoder(2, layer, with_cp=True), device
    )
    blocked = torch.rand(2, 5, 9, device=device) < 0.4
    blocked[..., 0] = False
    query, key = torch.randn(2, 5, 32, device=device), torch.randn(2, 9, 32, device=device)
    inputs = {'key': key, 'value': key, 'query_pos': torch.randn(1, 5, 32, device=device)}
    inputs.update(key_pos=torch.randn(1, 9, 32, device=device), key_padding_mask=None)
    of_heads = blocked.repeat_interleave(4, dim=0)
    expected = plain(query, cross_attn_mask=of_heads, **inputs)
    result = fused(query, cross_attn_mask=blocked, **inputs)
    assert torch.allclose(result, expected, atol=1e-4)
    assert all(type(module) is FusedAttention for module in _attentions(fused))


def _attentions(decoder):
    return [module for layer in decoder.layers for module in (layer.self_attn, layer.cross_attn)]
