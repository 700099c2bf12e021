"""The streaming fusion against a plain one that holds every mask at full size."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mmentity.datasets.geometry import corner_boxes, shortest_edge_size
from mmentity.models import EntityFusionHead
from mmentity.models.fusion.entities import FusedMasks, fuse_entities
from mmentity.models.fusion.geometry import ViewGeometry

SIZES = [(131, 177), (64, 96), (96, 64), (1, 1), (3, 50), (33, 300)]


def layout(height, width, short_side=64, long_side=100):
    boxes = [[0, 0, width, height], *corner_boxes(height, width, 0.7).tolist()]
    shapes = [
        shortest_edge_size(y1 - y0, x1 - x0, short_side, long_side) for x0, y0, x1, y1 in boxes
    ]
    padded = [-(-max(shape[axis] for shape in shapes) // 32) * 32 for axis in (0, 1)]
    return boxes, shapes, padded


def fuse(device, mask_logits, boxes, shapes, padded, size, **options):
    low = mask_logits.shape[-2:]
    geometry = ViewGeometry(low, boxes, shapes, padded, size, device)
    fused = fuse_entities(mask_logits.to(device), geometry, **options)
    assert all(tensor.device.type == device.type for tensor in fused)
    return FusedMasks(*(tensor.cpu() for tensor in fused))


def plain_probs(mask_logits, boxes, shapes, padded, size):
    """Average of the probabilities of all views, ``(Q, H0, W0)``, in float64."""
    total = torch.zeros((len(mask_logits), *size), dtype=torch.float64)
    count = torch.zeros(size)
    for v, ((x0, y0, x1, y1), (h, w)) in enumerate(zip(boxes, shapes)):
        logits = mask_logits[:, v : v + 1].double()
        logits = F.interpolate(logits, padded, mode='bilinear')[..., :h, :w]
        logits = F.interpolate(logits, (y1 - y0, x1 - x0), mode='bilinear')[:, 0]
        total[:, y0:y1, x0:x1] += logits.sigmoid()
        count[y0:y1, x0:x1] += 1
    return total / count


def logits_of(kind, num_queries, low):
    shape = (num_queries, 5, *low)
    noise = torch.randn(shape)
    if kind == 'noise':
        return 4 * noise
    if kind == 'blobs':
        smooth = F.interpolate(torch.randn(num_queries, 5, 4, 4), low, mode='bicubic')
        return 6 * smooth - 3
    if kind == 'empty':
        return -noise.abs() - 1
    if kind == 'full':
        return noise.abs() + 1
    if kind == 'lonely':  # one positive cell at a corner of one view, negative elsewhere
        logits = torch.full(shape, -5.0)
        for q in range(num_queries):
            logits[q, q % 5, (0, -1)[q % 2], (0, -1)[q // 2 % 2]] = 60.0
        return logits
    return noise * 1000  # saturated


@pytest.mark.parametrize('kind', ['noise', 'blobs', 'empty', 'full', 'lonely', 'saturated'])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('way', ['blocks', 'small blocks', 'dense'])
def test_equals_the_plain_implementation(kind, size, way, device, monkeypatch):
    if way == 'small blocks':
        monkeypatch.setattr('mmentity.models.fusion.entities.BLOCK_CELLS', 3)
    monkeypatch.setattr('mmentity.models.fusion.entities.CHUNK_PIXELS', 4000)
    torch.manual_seed(0)
    boxes, shapes, padded = layout(*size)
    mask_logits = logits_of(kind, 12, [side // 4 for side in padded])
    probs = plain_probs(mask_logits, boxes, shapes, padded, size)
    masks = probs > 0.5
    owners = torch.where(masks.any(0), masks.int().argmax(0) + 1, 0)
    fused = fuse(device, mask_logits, boxes, shapes, padded, size, dense=way == 'dense')
    certain = ((probs - 0.5).abs() > 1e-5).all(0)
    assert torch.equal(fused.owners[certain].long(), owners[certain])
    assert certain.float().mean() > 0.9 or kind in ('saturated', 'lonely')
    if certain.all():
        for q in range(12):
            own = owners == q + 1
            assert fused.areas[q] == own.sum()
            expected = probs[q][own].sigmoid().sum()
            assert fused.prob_sums[q].item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
            rows, columns = torch.nonzero(own, as_tuple=True)
            box = (
                [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                if len(rows)
                else [0] * 4
            )
            assert fused.boxes_xyxy_px[q].tolist() == [int(v) for v in box]


def test_one_view_and_the_plain_probability(device):
    torch.manual_seed(0)
    logits = 4 * torch.randn(6, 1, 16, 24)
    boxes, shapes, padded, size = [[0, 0, 90, 61]], [(60, 90)], (64, 96), (61, 90)
    fused = fuse(device, logits, boxes, shapes, padded, size, sigmoid_twice=False)
    probs = plain_probs(logits, boxes, shapes, padded, size)
    assert torch.equal(fused.owners > 0, (probs > 0.5).any(0))
    assert (fused.prob_sums / fused.areas.clamp(min=1)).max() <= 1


def test_exceptions(device):
    boxes, shapes, padded = layout(20, 30)
    logits = torch.zeros(2, 5, 8, 8)
    with pytest.raises(ValueError, match='1 boxes and 5 shapes of views; train and test'):
        fuse(device, logits, boxes[:1], shapes, padded, (20, 30))
    with pytest.raises(ValueError, match=r'mask_thr is 0\.3; it must be at least 0\.5'):
        fuse(device, logits, boxes, shapes, padded, (20, 30), mask_thr=0.3)
    with pytest.raises(ValueError, match='gives masks on 5 views, the sample has 4'):
        predict(device, num_boxes=4)


def predict(device, num_boxes=5, **test_cfg):
    torch.manual_seed(1)
    boxes, shapes, padded = layout(40, 60)
    boxes, shapes = boxes[:num_boxes], shapes[:num_boxes]
    head = EntityFusionHead(test_cfg=test_cfg)
    meta = {
        'view_boxes': boxes,
        'view_shapes': shapes,
        'batch_input_shape': padded,
        'ori_shape': (40, 60),
    }
    sample = type('Sample', (), {'metainfo': meta})()
    low = [side // 4 for side in padded]
    cls_logits, mask_logits = torch.randn(1, 8, 2), 4 * torch.randn(1, 8, 5, *low)
    return head.predict(cls_logits.to(device), mask_logits.to(device), [sample])[0]


def test_fusion_head_orders_by_final_score(device):
    result = predict(device)
    instances, ids = result['pred_instances'], result['pred_entity_map'].ids
    assert (instances.scores.diff() <= 0).all()
    assert ids.shape == (1, 40, 60)
    assert ids.dtype == torch.int32
    areas = torch.bincount(ids.flatten(), minlength=9)[1:]
    assert torch.equal(areas, instances.areas)
    assert instances.query_inds.sort().values.tolist() == list(range(8))


def test_masks_on_request(device):
    ids = predict(device)['pred_entity_map'].ids
    masks = predict(device, masks='bool')['pred_instances'].masks
    assert masks.shape == (8, 40, 60)
    assert torch.equal(masks.int().argmax(0) + masks.any(0).int(), ids[0])
    assert predict(device, masks='rle')['pred_instances'].masks[0]['size'] == [40, 60]
    assert 'masks' not in predict(device)['pred_instances']


def test_max_per_image_and_mask_score(device):
    assert len(predict(device, max_per_image=3)['pred_instances']) == 3
    official = predict(device)['pred_instances']
    probability = predict(device, mask_score='probability')['pred_instances']
    by_query = [
        dict(zip(p.query_inds.tolist(), p.scores.tolist())) for p in (official, probability)
    ]
    assert any(abs(by_query[0][q] - by_query[1][q]) > 0.01 for q in range(8))
    for key, value in (('mask_score', 'best'), ('masks', 'png'), ('fusion', 'fast')):
        with pytest.raises(ValueError, match=f'test_cfg.{key} is {value!r}; it must be one of'):
            predict(device, **{key: value})
