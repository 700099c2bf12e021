"""How often the host waits for a GPU, and that nothing mixes devices, seen without a GPU."""

import copy

import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmentity.models import EntityFusionHead
from tests.models.fusion.test_class_aware import logits_of, sample_of
from tests.models.heads.test_heads import NANO
from tests.models.parity import build
from tests.models.test_data_preprocessor import packed
from tests.pretend_device import PRETEND, PretendCuda


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
        ('list', lambda x: x[:, [0, 2]], 1),
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


# how often the host may wait in the fusion of one image, if one of the same size came before
FUSION_BUDGET = {
    ('entity', 'dense'): 0,
    ('entity', 'blocks'): 40,
    ('instance', 'blocks'): 5,
    ('semantic', 'dense'): 0,
    ('semantic', 'blocks'): 21,
    ('panoptic', 'dense'): 3,
    ('panoptic', 'blocks'): 14,
}


@pytest.mark.parametrize('kind', ['blobs', 'noise'])
@pytest.mark.parametrize(('task', 'way'), FUSION_BUDGET)
def test_fusion_waits_seldom_and_is_deterministic(pretend, task, way, kind):
    test_cfg = {'object_mask_thr': 0.2, 'iou_thr': 0.0, 'fusion': way, f'{task}_on': True}
    head = EntityFusionHead(3, 2, test_cfg=test_cfg)
    sample, low = sample_of((48, 64))
    torch.manual_seed(1)
    logits = 4 * torch.randn(1, 6, 6), logits_of(kind, 6, low)[None]
    there = [tensor.to(PRETEND) for tensor in logits]
    head.predict(*there, [sample])
    pretend.reset()
    result = head.predict(*there, [sample])[0]
    assert pretend.syncs.total() <= FUSION_BUDGET[task, way], pretend.syncs
    assert not pretend.nondeterministic
    for name, expected in head.predict(*logits, [sample])[0].items():
        for key, value in expected.all_items():
            ours = getattr(result[name], key)
            if isinstance(value, torch.Tensor):
                assert ours.device == PRETEND, (name, key)
                assert torch.allclose(ours.cpu(), value), (name, key)
            else:
                assert ours.rles == value.rles


def nano(name):
    """A nano model on the pretended device, and a batch of two images."""
    views = 2 if name == 'cropformer' else 1
    model = build(NANO.format(name), {'model.train_cfg.num_points': 64}).to(PRETEND)
    batch = pseudo_collate([packed(image, [(60, 90), (60, 89)][:views]) for image in range(2)])
    for sample in batch['data_samples']:
        boxes = [(0, 0, 120, 80), (0, 0, 84, 56)][:views]
        sample.set_metainfo({'view_boxes': boxes, 'ori_shape': (80, 120)})
    return model, batch


@pytest.mark.parametrize('name', ['cropformer', 'mask2former'])
def test_prediction_never_waits(pretend, name):
    """From the batch to the map: the writer of the results is the first who has to."""
    model, batch = nano(name)
    model.eval().panoptic_fusion_head.way = 'dense'
    with torch.no_grad():
        for _ in range(2):
            pretend.reset()
            data = model.data_preprocessor(copy.deepcopy(batch), False)
            samples = model.predict(data['inputs'], data['data_samples'])
    assert samples[0].pred_entity_map.ids.device == PRETEND
    assert pretend.syncs.total() == 0, pretend.syncs
    assert not pretend.nondeterministic


@pytest.mark.parametrize(('name', 'passes'), [('cropformer', 2), ('mask2former', 1)])
def test_a_training_step_waits_for_matching_only(pretend, name, passes):
    """Once for what views contain, once for the costs of a pass; mmdet uploads class weights."""
    model, batch = nano(name)
    model.train()
    head = model.panoptic_head
    pretend.reset()
    data = model.data_preprocessor(batch, True)
    assert pretend.syncs.total() == 0, pretend.syncs
    losses = model.loss(data['inputs'], data['data_samples'])
    class_weights = passes * (head.num_transformer_decoder_layers + 1)
    assert pretend.syncs.total() <= 1 + passes + class_weights, pretend.syncs
    assert not pretend.nondeterministic
    pretend.reset()
    sum(losses.values()).backward()
    assert pretend.syncs.total() == 0, pretend.syncs
    assert head.query_feat.weight.grad.device == PRETEND
    # what PyTorch itself has no deterministic way for: bilinear sampling
    assert set(pretend.nondeterministic) <= {
        'grid_sampler_2d_backward',
        'upsample_bilinear2d_backward',
    }
