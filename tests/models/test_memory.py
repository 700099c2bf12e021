"""Memory budgets: the result stays, and a budget is respected by what it sets."""

import pytest
import torch

from mmentity.models import EntityFusionHead
from mmentity.models.memory import (
    is_out_of_memory,
    memory_budget,
    over_views,
    views_at_a_time,
)
from tests.models.fusion.test_class_aware import logits_of, sample_of
from tests.models.parity import build

TINY_BUDGET = 0.01


def predict(**test_cfg):
    torch.manual_seed(1)
    sample, low = sample_of((140, 260))
    head = EntityFusionHead(3, 2, test_cfg=test_cfg)
    return head.predict(4 * torch.randn(1, 12, 6), logits_of('blobs', 12, low)[None], [sample])[0]


def test_fusion_does_not_change_with_the_budget():
    tasks = {'entity_on': True, 'semantic_on': True, 'panoptic_on': True, 'object_mask_thr': 0.2}
    small, free = predict(max_memory_mb=TINY_BUDGET, **tasks), predict(**tasks)
    assert torch.equal(small['pred_entity_map'].ids, free['pred_entity_map'].ids)
    assert torch.equal(small['pred_sem_seg'].data, free['pred_sem_seg'].data)
    assert torch.equal(small['pred_panoptic_seg'].sem_seg, free['pred_panoptic_seg'].sem_seg)
    for key in ('scores', 'bboxes', 'areas'):
        ours, expected = small['pred_instances'][key], free['pred_instances'][key]
        assert torch.allclose(ours.float(), expected.float(), atol=1e-6), key


def test_forward_does_not_change_with_the_budget():
    model = build('demo/cropformer_swin-nano_demo.py').eval()
    views = torch.randn(1, 5, 3, 64, 96)
    outputs = []
    with torch.no_grad():
        for budget in (None, TINY_BUDGET, 1e6):
            model.test_cfg['max_memory_mb'] = model.panoptic_head.test_cfg['max_memory_mb'] = budget
            outputs.append(model.panoptic_head.predict(model.extract_feat(views), [None]))
    for output in outputs[1:]:
        for ours, expected in zip(output, outputs[0]):
            assert torch.allclose(ours, expected, atol=1e-4)


def test_views_at_a_time():
    views = torch.zeros(5, 3, 100, 100)
    assert views_at_a_time(views, 96, {}) == 1
    one = 24 * 4 * 96 * 100 * 100 / 2**20
    assert views_at_a_time(views, 96, {'max_memory_mb': 3.5 * one}) == 3
    assert views_at_a_time(views, 96, {'max_memory_mb': one / 2}) == 1
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert views_at_a_time(views, 96, {'max_memory_mb': 1.5 * one}) == 3
    assert memory_budget({'max_memory_mb': 1 / 1024}) == 1024
    assert memory_budget(None) is None
    for value in (0, -1):
        with pytest.raises(ValueError, match=f'max_memory_mb is {value}; it must be positive'):
            views_at_a_time(views, 96, {'max_memory_mb': value})


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'), True),
        (RuntimeError('MPS backend out of memory (MPS allocated: 5 GB)'), True),
        (RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate'), True),
        (RuntimeError('mat1 and mat2 shapes cannot be multiplied'), False),
        (ValueError('out of memory'), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, expected):
    assert is_out_of_memory(error) is expected


def test_the_allocator_of_the_cpu_is_told_too():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize('step', [1, 2, 7])
def test_over_views_joins_what_a_function_gives(step):
    seen = []

    def double(views):
        seen.append(len(views))
        return 2 * views, views[:, 0]

    views = torch.randn(5, 3)
    doubled, first = over_views(double, [views], step)
    assert torch.equal(doubled, 2 * views)
    assert torch.equal(first, views[:, 0])
    assert max(seen) == min(step, 5)
