"""Swin's blocks a few windows at a time, against mmpretrain's."""

import copy

import pytest
import torch
from mmpretrain.models import SwinTransformer

from mmentity.models.layers import window_attention
from mmentity.models.layers.window_attention import (
    WindowedSwinBlock,
    use_windowed_blocks,
    windows_of,
)

ARCH = {'embed_dims': 24, 'depths': [2, 2, 2, 2], 'num_heads': [2, 4, 4, 8]}


@pytest.fixture(scope='module')
def pair():
    """A Swin of mmpretrain, and ours with the same weights."""
    torch.manual_seed(0)
    plain = SwinTransformer(ARCH, out_indices=(0, 1, 2, 3), pad_small_map=True)
    plain.eval()
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = copy.deepcopy(plain)
    use_windowed_blocks(ours)
    return plain, ours


def blocks(model):
    return [module for module in model.modules() if isinstance(module, WindowedSwinBlock)]


@pytest.mark.parametrize('chunk', [1, 100, 2048])
@pytest.mark.parametrize('size', [(224, 224), (60, 100), (96, 230), (28, 28)])
def test_results_are_those_of_mmpretrain(pair, size, chunk, monkeypatch):
    """With and without padding, and where a map is smaller than a window or as large."""
    monkeypatch.setattr(window_attention, 'TOKEN_CHUNK', chunk)
    plain, ours = pair
    assert len(blocks(ours)) == 8
    assert blocks(plain) == []
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for result, expected in zip(ours(images), plain(images)):
            assert torch.allclose(result, expected, atol=1e-4)


def test_names_and_gradients_stay(pair):
    plain, ours = pair
    assert list(ours.state_dict()) == list(plain.state_dict())
    gradients = []
    for model in pair:
        model(torch.ones(1, 3, 60, 100))[-1].square().mean().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients))


def test_half_precision(pair):
    plain, ours = pair
    images = torch.randn(1, 3, 60, 100)
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        for result, expected in zip(ours(images), plain(images)):
            assert result.dtype == expected.dtype
            assert (result - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_other_blocks_are_left_alone(pair):
    plain = copy.deepcopy(pair[0])
    attention = plain.stages[0].blocks[0].attn
    attention.__class__ = type('Changed', (type(attention),), {})
    use_windowed_blocks(plain)
    assert len(blocks(plain)) == 7


@pytest.mark.parametrize('shift', [0, 1])
def test_every_token_is_in_one_window(shift):
    windows = windows_of(5, 4, 2, shift)
    assert sorted(windows.tokens[windows.inside].tolist()) == list(range(20))
    if shift:
        # rows 0..4 and columns 0..3 shifted by one: the window that the wrap puts together
        (corner,) = ((windows.tokens == 0) & windows.inside).any(dim=1).nonzero().flatten()
        regions = windows.region[corner][windows.inside[corner]]
        assert len(regions.unique()) == len(regions) == 2


def test_a_map_smaller_than_a_window_is_refused(pair):
    ours = copy.deepcopy(pair[1])
    for block in blocks(ours):
        block.attn.pad_small_map = False
    with torch.no_grad(), pytest.raises(ValueError, match='set pad_small_map=True'):
        ours(torch.zeros(1, 3, 60, 100))
