"""Masks that are made where somebody looks, against masks made whole."""

import pytest
import torch
from mmcv.ops import point_sample

from mmentity.models.heads.query_masks import QueryMasks, sample_masks


@pytest.fixture
def masks(device):
    torch.manual_seed(0)
    return QueryMasks(torch.randn(2, 7, 16).to(device), torch.randn(2, 3, 16, 9, 13).to(device))


def test_some_queries_equal_those_of_all(masks):
    queries = torch.tensor([5, 0, 5], device=masks.embeds.device)
    whole = masks.logits()
    assert whole.shape == (2, 7, 3, 9, 13)
    assert torch.allclose(masks.logits_of(1, queries), whole[1, queries].transpose(0, 1), atol=1e-5)
    assert masks.logits_of(0, queries[:0]).shape == (3, 0, 9, 13)


def test_features_of_each_image_equal_those_of_all(masks):
    queries = torch.arange(7, device=masks.embeds.device)
    apart = QueryMasks(masks.embeds, masks.features.unbind())
    assert torch.equal(apart.logits_of(1, queries), masks.logits_of(1, queries))


@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('size', [(9, 13), (1, 1), (40, 3)])
def test_boolean_masks_equal_floats(size, shared, device):
    torch.manual_seed(0)
    booleans = torch.rand(6, *size).to(device) > 0.5
    points = torch.rand(1 if shared else 6, 500, 2)
    points[:, :3] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    points = points.to(device)
    expected = point_sample(booleans.float()[:, None], points.expand(6, -1, -1)).squeeze(1)
    sampled = sample_masks(booleans, points)
    assert torch.allclose(sampled, expected, atol=1e-4)
    assert sampled.max() <= 1 + 1e-6
    assert sample_masks(booleans[:0], points[:1]).shape == (0, 500)
