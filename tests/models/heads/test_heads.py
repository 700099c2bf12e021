import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmentity.models import QueryAssociation
from mmentity.models.heads.query_masks import QueryMasks, attention_mask
from tests.models.parity import build

NANO = '_base_/models/{}_swin-nano.py'


def features(views, device='cpu'):
    torch.manual_seed(0)
    sides = ((24, 16), (48, 8), (96, 4), (192, 2))
    return tuple(torch.randn(views, c, side, side).to(device) for c, side in sides)


def samples(count, entities, views, device='cpu'):
    made = []
    for _ in range(count):
        sample = DetDataSample(metainfo={'batch_input_shape': (64, 64)})
        masks = torch.rand(entities, views, 64, 64) > 0.7
        sample.gt_instances = InstanceData(
            labels=torch.zeros(entities, dtype=torch.long),
            masks=masks,
            in_view=masks.flatten(2).any(-1),
        )
        made.append(sample.to(device))
    return made


@pytest.mark.parametrize(
    ('model', 'views'), [('cropformer', 2), ('cropformer', 5), ('mask2former', 1)]
)
def test_shapes(model, views, device):
    head = build(NANO.format(model)).panoptic_head.to(device)
    inputs = features(3 * views, device), samples(3, 2, views, device)
    cls_logits, mask_logits = head.predict(*inputs)
    assert cls_logits.shape == (3, 30, 2)
    assert mask_logits.shape == (3, 30, views, 16, 16)


@pytest.mark.parametrize('entities', [0, 1, 40])
@pytest.mark.parametrize(('model', 'views'), [('cropformer', 2), ('mask2former', 1)])
def test_losses_with_none_few_and_more_entities_than_queries(model, views, entities, device):
    head = build(NANO.format(model), {'model.train_cfg.num_points': 64})
    head = head.panoptic_head.to(device)
    losses = head.loss(features(2 * views, device), samples(2, entities, views, device))
    assert len(losses) == 12 * views
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    assert head.query_feat.weight.grad.abs().sum() > 0


def test_checkpointing_changes_neither_losses_nor_gradients():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        options = {
            'model.train_cfg.num_points': 64,
            'model.panoptic_head.with_cp': with_cp,
            'model.backbone.with_cp': with_cp,
            'model.backbone.drop_path_rate': 0.0,
        }
        model = copy.deepcopy(build(NANO.format('cropformer'), options)).train()
        torch.manual_seed(1)
        losses = model.loss(torch.randn(2, 2, 3, 64, 64), samples(2, 3, 2))
        sum(losses.values()).backward()
        results.append((losses, {name: p.grad for name, p in model.named_parameters()}))
    (losses, gradients), (again, gradients_again) = results
    for name, value in losses.items():
        assert torch.allclose(value, again[name]), name
    assert gradients.keys() == gradients_again.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, gradients_again[name], rtol=1e-3, atol=1e-4), name


def test_a_copy_of_a_checkpointed_head_is_independent():
    head = build(NANO.format('mask2former'), {'model.panoptic_head.with_cp': True}).panoptic_head
    twin = copy.deepcopy(head)
    layer = twin.transformer_decoder.layers[0]
    assert layer.forward.__self__ is layer
    assert layer.with_cp


def test_cropformer_asks_for_crops():
    head = build(NANO.format('cropformer')).panoptic_head
    with pytest.raises(ValueError, match='got 1 view; put CropViews into the pipeline'):
        head.predict(features(2), samples(2, 1, 1))


def test_cropformer_takes_the_whole_image_alone_where_that_is_asked_for():
    model = build(NANO.format('cropformer'), {'model.test_cfg.one_view': True}).eval()
    head = model.panoptic_head
    # one view stands where the last of several does
    one, two = (
        head.decoder_positional_encoding.encode_views(number, 3, 4, torch.device('cpu'))
        for number in (1, 2)
    )
    assert torch.allclose(one[0], two[1], atol=1e-5)
    with torch.no_grad():
        cls_logits, mask_logits = head.predict(features(2), samples(2, 1, 1))
        apart = [
            head.predict([f[k : k + 1] for f in features(2)], samples(1, 1, 1)) for k in (0, 1)
        ]
    assert mask_logits.shape == (2, 30, 1, 16, 16)
    assert torch.allclose(cls_logits, torch.cat([one.cls_logits for one in apart]), atol=1e-4)
    with pytest.raises(ValueError, match='got 1 view'):
        head.train().predict(features(2), samples(2, 1, 1))


def test_num_queries_must_be_positive():
    with pytest.raises(ValueError, match='num_queries is 0; a head needs at least one query'):
        build(NANO.format('mask2former'), {'model.panoptic_head.num_queries': 0})


def test_association_merges_views_into_the_whole_image(device):
    torch.manual_seed(0)
    association = QueryAssociation(32, 4, 64, num_layers=2).eval().to(device)
    queries, embed = torch.randn(2, 3, 7, 32).to(device), torch.randn(7, 32).to(device)
    merged = association(queries, embed)
    assert merged.shape == (2, 7, 32)
    # the crops are a set: their order does not matter, the place of the whole image does
    assert torch.allclose(merged, association(queries[:, [0, 2, 1]], embed), atol=1e-5)
    assert not torch.allclose(merged, association(queries[:, [1, 0, 2]], embed), atol=1e-2)


def test_attention_masks_open_where_a_mask_is_empty(device):
    features = torch.ones(1, 1, 64, 2, 2, device=device)
    features[..., 0, 0] = -1
    embed = torch.stack([torch.ones(64), -torch.ones(64), torch.zeros(64)])[None].to(device)
    blocked = attention_mask(QueryMasks(embed, features))
    assert blocked.shape == (1, 3, 4)
    assert blocked[0].tolist() == [
        [True, False, False, False],
        [False, True, True, True],
        [False] * 4,
    ]
    nothing = attention_mask(QueryMasks(embed[:, :1], -features.abs()))
    assert not nothing.any()
