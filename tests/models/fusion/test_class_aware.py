"""Semantic, panoptic and instance results against plain ones with full-size masks."""

import pytest
import torch
from pycocotools import mask as mask_utils

from mmentity.models import EntityFusionHead
from mmentity.models.fusion.geometry import ViewGeometry
from mmentity.models.fusion.instances import fuse_instances
from mmentity.models.fusion.panoptic import fuse_panoptic
from mmentity.models.fusion.semantic import fuse_semantic
from tests.models.fusion.test_entities import SIZES, layout, logits_of, plain_probs

SMALL = {
    'semantic.BLOCK_SIDE': 16,
    'semantic.CHUNK_VALUES': 20000,
    'panoptic.BLOCK_SIDE': 16,
    'panoptic.CHUNK_PIXELS': 1500,
    'instances.BLOCK_SIDE': 16,
    'instances.STRIP_PIXELS': 2000,
}


@pytest.fixture(params=['blobs', 'noise', 'empty', 'saturated'])
def kind(request):
    return request.param


@pytest.fixture(params=SIZES)
def case(request, kind, device, monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(f'mmentity.models.fusion.{name}', value)
    torch.manual_seed(0)
    size = request.param
    boxes, shapes, padded = layout(*size)
    mask_logits = logits_of(kind, 12, [side // 4 for side in padded])
    geometry = ViewGeometry(mask_logits.shape[-2:], boxes, shapes, padded, size, device)
    return mask_logits.to(device), geometry, plain_probs(mask_logits, boxes, shapes, padded, size)


@pytest.mark.parametrize('dense', [False, True])
def test_semantic_equals_the_plain_one(case, dense):
    mask_logits, geometry, probs = case
    class_probs = torch.rand(12, 7).softmax(dim=-1)
    scores = torch.einsum('qc,qhw->chw', class_probs.double(), probs)
    best = scores.topk(2, dim=0).values
    certain = best[0] - best[1] > 1e-5
    classes = fuse_semantic(class_probs.to(geometry.device), mask_logits, geometry, dense=dense)
    classes = classes.cpu()
    assert torch.equal(classes[certain].long(), scores.argmax(0)[certain])


def plain_panoptic(scores, labels, probs, num_things, iou_thr):
    winner = (scores.view(-1, 1, 1) * probs).argmax(0)
    segments = torch.zeros(winner.shape, dtype=torch.int32)
    found, stuff = [], {}
    for k, label in enumerate(labels):
        won, own = winner == k, probs[k] >= 0.5
        if not (won & own).any() or won.sum() / own.sum() < iou_thr:
            continue
        if label in stuff:
            segments[won & own] = stuff[label]
            continue
        found.append(label)
        if label >= num_things:
            stuff[label] = len(found)
        segments[won & own] = len(found)
    return segments, found


@pytest.mark.parametrize('dense', [False, True])
@pytest.mark.parametrize('iou_thr', [0.0, 0.3])
def test_panoptic_equals_the_plain_one(case, iou_thr, dense):
    mask_logits, geometry, probs = case
    scores, labels = 0.5 + torch.rand(12) / 2, torch.randint(0, 4, (12,)).tolist()
    weighted = scores.double().view(-1, 1, 1) * probs
    best = weighted.topk(2, dim=0).values
    expected, found = plain_panoptic(scores.double(), labels, probs, 2, iou_thr)
    fused = fuse_panoptic(
        scores.to(geometry.device), labels, mask_logits, geometry, 2, iou_thr, dense=dense
    )
    certain = (best[0] - best[1] > 1e-5) & ((probs - 0.5).abs() > 1e-5).all(0)
    if certain.all():
        assert fused.labels == found
        assert torch.equal(fused.segments.cpu(), expected)


def test_instances_equal_the_plain_ones(case):
    mask_logits, geometry, probs = case
    masks = fuse_instances(mask_logits, geometry)
    masks = masks._replace(
        areas=masks.areas.cpu(),
        boxes_xyxy_px=masks.boxes_xyxy_px.cpu(),
        prob_sums=masks.prob_sums.cpu(),
    )
    certain = (probs - 0.5).abs() > 1e-5
    decoded = torch.from_numpy(mask_utils.decode(masks.rles)).permute(2, 0, 1).bool()
    assert torch.equal(decoded[certain], (probs > 0.5)[certain])
    assert torch.equal(masks.areas, decoded.flatten(1).sum(1))
    for own, area, box, prob, total in zip(
        decoded, masks.areas, masks.boxes_xyxy_px, probs, masks.prob_sums
    ):
        if area == 0:
            assert box.tolist() == [0, 0, 0, 0]
            continue
        rows, columns = torch.nonzero(own, as_tuple=True)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == [int(v) for v in edges]
        assert total.item() == pytest.approx(prob[own].sum().item(), rel=1e-5)


def sample_of(size):
    boxes, shapes, padded = layout(*size)
    meta = {
        'view_boxes': boxes,
        'view_shapes': shapes,
        'batch_input_shape': padded,
        'ori_shape': size,
    }
    return type('Sample', (), {'metainfo': meta})(), [side // 4 for side in padded]


def predict(device, num_queries=12, num_classes=5, **test_cfg):
    torch.manual_seed(1)
    sample, low = sample_of((40, 60))
    head = EntityFusionHead(3, num_classes - 3, test_cfg=test_cfg)
    cls_logits = 4 * torch.randn(1, num_queries, num_classes + 1)
    mask_logits = logits_of('blobs', num_queries, low)[None]
    return head.predict(cls_logits.to(device), mask_logits.to(device), [sample])[0]


def test_each_task_makes_its_results_only(device):
    assert set(predict(device)) == {'pred_entity_map', 'pred_instances'}
    assert set(predict(device, instance_on=True)) == {'pred_instances'}
    assert set(predict(device, semantic_on=True)) == {'pred_sem_seg'}
    everything = predict(
        device, entity_on=True, semantic_on=True, panoptic_on=True, instance_on=True
    )
    assert set(everything) == {
        'pred_entity_map',
        'pred_instances',
        'pred_overlap_instances',
        'pred_sem_seg',
        'pred_panoptic_seg',
    }


def test_overlapping_masks_beside_the_entities(device):
    both = predict(device, entity_on=True, instance_on=True)
    alone = predict(device, instance_on=True)['pred_instances']
    overlapping = both['pred_overlap_instances']
    assert torch.equal(overlapping.scores, alone.scores)
    assert overlapping.masks == alone.masks
    entities = both['pred_instances']
    area = dict(zip(entities.query_inds.tolist(), entities.areas.tolist()))
    whole = dict(zip(overlapping.query_inds.tolist(), overlapping.areas.tolist()))
    assert all(whole[q] >= area[q] for q in whole)
    assert any(whole[q] > area[q] for q in whole)


def test_panoptic_values_are_those_of_mmdet(device):
    values = predict(device, panoptic_on=True, object_mask_thr=0.3, iou_thr=0.0)[
        'pred_panoptic_seg'
    ]
    assert values.sem_seg.shape == (1, 40, 60)
    found = values.sem_seg.unique().tolist()
    classes = [value % 1000 for value in found]
    things = [value // 1000 for value in found if value % 1000 < 3]
    assert sorted(things) == list(range(1, len(things) + 1))
    assert all(value < 1000 for value in found if value % 1000 >= 3)
    assert set(classes) <= {0, 1, 2, 3, 4, 5}
    nothing = predict(device, panoptic_on=True, object_mask_thr=1.0)['pred_panoptic_seg']
    assert nothing.sem_seg.unique().tolist() == [5]


def test_instances_are_things_in_descending_score(device):
    instances = predict(device, instance_on=True, max_per_image=20)['pred_instances']
    assert 0 < len(instances) <= 20
    assert (instances.labels < 3).all()
    assert (instances.scores.diff() <= 0).all()
    areas = torch.from_numpy(mask_utils.area(instances.masks.rles).astype('int64'))
    assert torch.equal(areas, instances.areas.cpu())
    decoded = predict(device, instance_on=True, max_per_image=20, masks='bool')[
        'pred_instances'
    ].masks
    assert torch.equal(decoded.flatten(1).sum(1), instances.areas)


def test_no_thing_at_all(device):
    instances = predict(
        device, num_classes=5, num_queries=1, instance_on=True, max_per_image=1, masks='bool'
    )
    assert instances['pred_instances'].masks.shape[1:] == (40, 60)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_results_are_made_in_float32(dtype, device):
    """Whatever the precision of the logits, and under autocast too."""
    torch.manual_seed(1)
    sample, low = sample_of((40, 60))
    tasks = {f'{task}_on': True for task in ('entity', 'instance', 'semantic', 'panoptic')}
    head = EntityFusionHead(3, 2, test_cfg={**tasks, 'object_mask_thr': 0.2})
    cls_logits = (4 * torch.randn(1, 12, 6)).to(device, dtype)
    mask_logits = logits_of('blobs', 12, low)[None].to(device, dtype)
    expected = head.predict(cls_logits.float(), mask_logits.float(), [sample])[0]
    with torch.autocast(device.type, dtype=torch.bfloat16):
        result = head.predict(cls_logits, mask_logits, [sample])[0]
    assert torch.equal(result['pred_entity_map'].ids, expected['pred_entity_map'].ids)
    assert torch.equal(result['pred_sem_seg'].data, expected['pred_sem_seg'].data)
    assert torch.equal(result['pred_panoptic_seg'].sem_seg, expected['pred_panoptic_seg'].sem_seg)
    for name in ('pred_instances', 'pred_overlap_instances'):
        assert result[name].scores.dtype == torch.float32
        assert torch.equal(result[name].scores, expected[name].scores)
