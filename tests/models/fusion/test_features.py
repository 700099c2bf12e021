"""Features of entities against full-size ones, averaged pixel by pixel."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from torch.nn import functional as F  # noqa: N812

from mmentity.models import EntityTTAModel
from mmentity.models.fusion.features import pool_features
from mmentity.models.fusion.geometry import ViewGeometry
from mmentity.utils.shipped_configs import get_config
from tests.models.fusion.test_entities import layout


def full_size(features, boxes, shapes, padded, size):
    """Features of every pixel, the mean of the views that cover it, float64 ``(C, H0, W0)``."""
    total = torch.zeros((features.shape[1], *size), dtype=torch.float64)
    count = torch.zeros(size)
    for view, (x0, y0, x1, y1), (h, w) in zip(features.double(), boxes, shapes):
        resized = F.interpolate(view[None], padded, mode='bilinear')[..., :h, :w]
        resized = F.interpolate(resized, (y1 - y0, x1 - x0), mode='bilinear')[0]
        total[:, y0:y1, x0:x1] += resized
        count[y0:y1, x0:x1] += 1
    return total / count


def mean_of_pixels(pixels, ids, count):
    """Mean of ``(C, H0, W0)`` over the pixels of each entity, 0 where there is none."""
    means = [pixels[:, ids == k].mean(dim=1) for k in range(1, count + 1)]
    return torch.stack(means).nan_to_num(0)


def boxes_of(ids, count):
    boxes = torch.zeros((count, 4))
    for k in range(count):
        y, x = torch.nonzero(ids == k + 1, as_tuple=True)
        if len(y):
            boxes[k] = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
    return boxes


@pytest.mark.parametrize('views', [1, 5])
@pytest.mark.parametrize('size', [(131, 177), (64, 96), (1, 1), (3, 50), (33, 300)])
@pytest.mark.parametrize('strip_pixels', [1 << 21, 200])
def test_pooling_equals_brute_force(views, size, strip_pixels, device, monkeypatch):
    monkeypatch.setattr('mmentity.models.fusion.features.STRIP_PIXELS', strip_pixels)
    torch.manual_seed(0)
    boxes, shapes, padded = layout(*size)
    boxes, shapes = boxes[:views], shapes[:views]
    low = [side // 4 for side in padded]
    features = torch.randn(views, 6, *low)
    # blobs, with a lonely pixel and an entity that has none
    noise = F.interpolate(torch.randn(1, 5, 4, 4), size, mode='bicubic')[0]
    ids = noise.argmax(dim=0).int()
    ids[-1, -1] = 5
    geometry = ViewGeometry(low, boxes, shapes, padded, size, device)
    pooled = pool_features(
        features.to(device), ids.to(device), boxes_of(ids, 6).to(device), geometry
    )
    expected = mean_of_pixels(full_size(features, boxes, shapes, padded, size), ids, 6)
    assert pooled.dtype == torch.float32
    assert torch.count_nonzero(pooled[5]) == 0
    assert torch.allclose(pooled.cpu().double(), expected, atol=2e-5)


def detector(name='cropformer_swin-nano_demo', **test_cfg):
    torch.manual_seed(0)
    config = get_config(name).model
    config.test_cfg.update(test_cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config).eval()
    with torch.no_grad():
        model.panoptic_head.mask_embed[-1].weight.mul_(20)
    return model


def samples_of(size, boxes, shapes, padded):
    meta = {'ori_shape': size, 'view_boxes': boxes, 'view_shapes': shapes}
    return [DetDataSample(metainfo={**meta, 'batch_input_shape': tuple(padded)})]


@pytest.mark.parametrize('name', ['cropformer_swin-nano_demo', 'mask2former_swin-nano_demo'])
def test_a_model_gives_them_where_they_are_asked_for_and_nothing_else_changes(name, monkeypatch):
    size = (60, 80)
    boxes, shapes, padded = layout(*size)
    views = 5 if name.startswith('crop') else 1
    samples = [samples_of(size, boxes[:views], shapes[:views], padded) for _ in range(2)]
    inputs = torch.randn(1, views, 3, *padded)
    model = detector(name, features=True)
    head, kept = model.panoptic_head, {}

    def keep(x, given):
        kept['given'] = type(head).predict_with_features(head, x, given)
        return kept['given']

    monkeypatch.setattr(head, 'predict_with_features', keep)
    with torch.no_grad():
        (sample,) = model.predict(inputs, samples[0])
        assert 'pooled_features' not in detector(name).predict(inputs, samples[1])[0].pred_instances
        (plain,) = samples[1]
    assert torch.equal(sample.pred_entity_map.ids, plain.pred_entity_map.ids)
    assert torch.equal(sample.pred_instances.scores, plain.pred_instances.scores)
    logits, features = kept['given']
    entities, ids = sample.pred_instances, sample.pred_entity_map.ids[0]
    assert (entities.areas > 0).sum() > 2
    pixels = full_size(features.mask_features[0], boxes[:views], shapes[:views], padded, size)
    expected = mean_of_pixels(pixels, ids, len(entities))
    assert torch.allclose(entities.pooled_features.double(), expected, atol=1e-4)
    # what the class is predicted from is the embedding of the query
    classes = head.cls_embed(entities.query_features)
    assert torch.allclose(classes, logits.cls_logits[0, entities.query_inds], atol=1e-5)


def test_features_without_entities_are_refused():
    with pytest.raises(ValueError, match='no entities are asked for; set entity_on=True too'):
        detector('mask2former_swin-nano_demo_panoptic', features=True)
    model = get_config('mask2former_swin-nano_demo').model
    model.test_cfg.features = True
    with (
        DefaultScope.overwrite_default_scope('mmdet'),
        pytest.raises(ValueError, match='copies of an image have no features'),
    ):
        EntityTTAModel(module=model)
