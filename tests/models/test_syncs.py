"""How often the host waits for a GPU, and that nothing mixes devices, seen without a GPU."""

import pytest
import torch

from mmentity.models import EntityFusionHead
from tests.models.fusion.test_class_aware import logits_of, sample_of
from tests.pretend_device import PRETEND, PretendCuda

TASKS = ('entity', 'instance', 'semantic', 'panoptic')


@pytest.fixture
def pretend(request):
    if request.config.getoption('--device') != 'cpu':
        pytest.skip('the device is real, or pretended already')
    with PretendCuda() as device:
        yield device


def test_the_guard_finds_what_a_gpu_would_refuse(pretend):
    """Planted mistakes."""
    table, there = torch.arange(5), torch.tensor([1, 2], device=PRETEND)
    assert there.device == PRETEND
    assert there.is_cuda
    with pytest.raises(RuntimeError, match='aten::index got tensors of several devices'):
        table[there]
    with pytest.raises(RuntimeError, match=r"aten::add got .*'cuda:0', 'cpu'"):
        there + table[:2]
    with pytest.raises(RuntimeError, match='several devices'):
        torch.cat([there, table])
    with pytest.raises((TypeError, RuntimeError)):
        there.numpy()
    assert (there + torch.tensor(1)).tolist() == [2, 3]


@pytest.mark.parametrize(
    ('name', 'step', 'count'),
    [
        ('item', lambda x: x.sum().item(), 1),
        ('float', lambda x: float(x[0, 0]), 1),
        ('if', lambda x: 1 if (x > 0).any() else 0, 1),
        ('tolist', lambda x: x.tolist(), 1),
        ('cpu', lambda x: x.cpu(), 1),
        ('mask', lambda x: x[x > 0], 1),
        ('two masks', lambda x: (x[x > 0], x[x < 0]), 2),
        (
            'write by mask',
            lambda x: x.clone().__setitem__(x > 0, torch.ones((), device=x.device)),
            1,
        ),
        ('nonzero', lambda x: torch.nonzero(x), 1),
        ('unique', lambda x: x.unique(), 1),
        ('upload', lambda x: torch.tensor([1.0], device=x.device), 1),
        ('new_tensor', lambda x: x.new_tensor([1.0]), 1),
        ('upload without waiting', lambda x: torch.ones(2).to(x.device, non_blocking=True), 0),
        ('numbers', lambda x: x[torch.zeros(2, dtype=torch.long, device=x.device)], 0),
        ('arithmetic', lambda x: (x @ x.T).sigmoid().amax(dim=0), 0),
    ],
)
def test_the_guard_counts_waiting(pretend, name, step, count):
    values = torch.randn(3, 4, device=PRETEND)
    pretend.reset()
    step(values)
    assert pretend.syncs.total() == count, (name, pretend.syncs)


def test_the_guard_finds_what_is_not_deterministic(pretend):
    numbers = torch.tensor([0, 2, 2], device=PRETEND)
    numbers.bincount()
    numbers.cumsum(0)
    assert not pretend.nondeterministic
    numbers.bincount(torch.ones(3, device=PRETEND))
    torch.ones(3, device=PRETEND).cumsum(0)
    assert pretend.nondeterministic == {'bincount': 1, 'cumsum': 1}


def fuse(pretend, task, way, kind='blobs'):
    """Waits of the second of two images of one size."""
    head = EntityFusionHead(
        3, 2, test_cfg={f'{task}_on': True, 'object_mask_thr': 0.2, 'iou_thr': 0.0, 'fusion': way}
    )
    sample, low = sample_of((131, 177))
    torch.manual_seed(1)
    cls_logits, mask_logits = 4 * torch.randn(1, 12, 6), logits_of(kind, 12, low)[None]
    there = cls_logits.to(PRETEND), mask_logits.to(PRETEND)
    head.predict(*there, [sample])
    pretend.reset()
    return head.predict(cls_logits, mask_logits, [sample])[0], head.predict(*there, [sample])[0]
