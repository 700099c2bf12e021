"""Losses, matches and gradients of the official implementation."""

import numpy as np
import pytest
import torch
from mmdet.models.task_modules.assigners import HungarianAssigner
from mmengine.structures import InstanceData

from mmentity.datasets.transforms import CropViews, FlipEntities, PackEntityInputs, ResizeViews
from mmentity.models.heads import set_loss
from mmentity.models.heads.set_loss import SetLoss
from mmentity.structures import EntityMap
from mmentity.structures.entity_masks import EntityMasks
from tests.models.parity import build_with_weights, tiny_options

NAMES = {'loss_cls': 'loss_ce', 'loss_mask': 'loss_mask', 'loss_dice': 'loss_dice'}


def training_sample(reference, entry, draw, monkeypatch):
    """Run the pipeline of training with the official draws on one recipe image."""
    image = reference.recipe.image(entry['h'], entry['w'], entry['seed'])
    labels = reference.recipe.entities(entry['h'], entry['w'], entry['n'], entry['seed'])
    assert reference.recipe.digest(labels) == entry['entities_crc32']
    count = len(draw['entity_ids'])
    results = {
        'img': np.ascontiguousarray(image[..., ::-1]),
        'img_path': 'recipe',
        'img_id': entry['seed'],
        'ori_shape': image.shape[:2],
        'gt_masks': EntityMasks(EntityMap.from_segment_ids(labels, draw['entity_ids'])),
        'gt_bboxes_labels': np.zeros(count, np.int64),
        'gt_ignore_flags': np.zeros(count, bool),
    }
    crop = draw['crop_index'][0]
    monkeypatch.setattr(np.random, 'permutation', lambda n: np.array([crop, *range(n)]))
    for step in (
        FlipEntities(prob=float(draw['flip'])),
        CropViews(num_crops=1),
        ResizeViews(draw['short_side'], 160),
        PackEntityInputs(),
    ):
        results = step.transform(results)
    return results


@pytest.fixture(scope='module')
def losses(reference, device):
    info, arrays = reference.load('train_losses_tinycfg')
    model = build_with_weights(
        reference, info, '_base_/models/cropformer_swin-t.py', tiny_options(drop_path_rate=0.0)
    )
    model.to(device).train()
    with pytest.MonkeyPatch.context() as monkeypatch:
        packed = [
            training_sample(reference, entry, draw, monkeypatch)
            for entry, draw in zip(info['images'], info['draws'])
        ]
    inputs = [sample['inputs'] for sample in packed]
    data = model.data_preprocessor(
        {'inputs': inputs, 'data_samples': [sample['data_samples'] for sample in packed]},
        training=True,
    )
    points = torch.from_numpy(arrays['points']).to(device)
    loss = model.panoptic_head.set_loss
    loss.random_points = lambda device: points[None]
    loss.uncertain_points = lambda logits: points.expand(len(logits), -1, -1)
    matches = []
    match = loss.match

    def recording_match(*args):
        layers = match(*args)
        matches.extend([v.tolist() for v in pair] for pairs in layers for pair in pairs)
        return layers

    loss.match = recording_match
    values = model.loss(data['inputs'], data['data_samples'])
    return info, arrays, model, data, inputs, values, matches


def test_targets(losses):
    _, arrays, _, data, inputs, _, _ = losses
    assert list(data['data_samples'][0].batch_input_shape) == arrays['padded_size'].tolist()
    for b, sample in enumerate(data['data_samples']):
        gt: InstanceData = sample.gt_instances
        assert np.array_equal(
            gt.masks.cpu().numpy(), arrays[f'target3d_masks_image{b}'].astype(bool)
        )
        assert np.array_equal(gt.in_view.cpu().numpy(), arrays[f'target3d_ids_image{b}'] >= 0)
        for v, name in enumerate(('full', 'crop')):
            h, w = sample.view_shapes[v]
            view = inputs[b][v][:, :h, :w]
            official = arrays[f'image{b}_{name}'].reshape(3, h, w)
            assert np.array_equal(view.flip(0).numpy(), official)
            seen = gt.masks[gt.in_view[:, v]][:, v]
            assert np.array_equal(seen.cpu().numpy(), arrays[f'target2d_masks_view{2 * b + v}'])


def test_every_loss(losses):
    info, _, _, _, _, values, _ = losses
    assert len(values) == 24
    for name, value in values.items():
        space, *layer, kind = name.split('.')
        index = f'_{layer[0][1:]}' if layer else ''
        official = f'{NAMES[kind]}{index}_{"2d" if space == "per_view" else "3d"}'
        assert value.item() == pytest.approx(info['losses_weighted'][official], rel=1e-5), name
    assert sum(values.values()).item() == pytest.approx(info['total_loss'], rel=1e-5)


def test_every_match(losses):
    info, _, _, _, _, _, matches = losses
    layers = ('aux0', 'aux1', 'aux2', 'last')
    ours = iter(matches)
    for space, items in (('2d', 4), ('3d', 2)):
        official = {entry['layer']: entry['per_item'] for entry in info['matches'][space]}
        for layer in layers:
            for item in range(items):
                query, target = next(ours)
                expected = official[layer][item]
                assert [query, target] == [expected['query'], expected['target']]


def test_gradient_norms(losses):
    info, _, model, _, _, values, _ = losses
    model.zero_grad()
    sum(values.values()).backward(retain_graph=True)
    square = sum(p.grad.double().square().sum() for p in model.parameters() if p.grad is not None)
    assert square.sqrt().item() == pytest.approx(info['grad_norm_all'], rel=1e-3)
    head = model.panoptic_head
    for module, official in (
        (model.backbone, 'backbone'),
        (head.pixel_decoder, 'sem_seg_head.pixel_decoder'),
        (head.association, 'sem_seg_head.predictor.make_3d'),
    ):
        square = sum(p.grad.double().square().sum() for p in module.parameters())
        assert square.sqrt().item() == pytest.approx(info['grad_norm'][official], rel=1e-3)


def test_outputs_in_training_mode(losses):
    _, arrays, model, data, _, _, _ = losses
    with torch.no_grad():
        features = model.extract_feat(data['inputs'])
        per_view, cross_view = model.panoptic_head(features, data['data_samples'])
    for output, suffix in ((per_view, '2d'), (cross_view, '3d')):
        masks = output.masks[-1].logits()[..., ::2, ::2].cpu().numpy()
        masks = masks.squeeze(2) if suffix == '2d' else masks
        logits = output.cls_scores[-1].cpu().numpy()
        assert np.abs(logits - arrays[f'pred_logits_{suffix}']).max() < 1e-4
        assert np.abs(masks - arrays[f'pred_masks_{suffix}_s2']).max() < 1e-3
        aux = np.stack([score.cpu().numpy() for score in output.cls_scores[:-1]])
        assert np.abs(aux - arrays[f'aux_logits_{suffix}']).max() < 1e-4


def test_a_device_takes_as_many_masks_as_its_memory_holds(monkeypatch):
    """The numbers do not depend on it."""
    torch.manual_seed(0)
    logits, masks = torch.randn(40, 1, 16, 24), torch.rand(40, 64, 96) > 0.5
    drawn = torch.rand(40, 50, 2)
    assigner = HungarianAssigner({'type': 'DiceCost'})
    loss = SetLoss(assigner, None, None, None, (1.0, 0.1), num_points=50)
    seen, results = [], []

    def uncertain_points(some):
        seen.append(len(some))
        return drawn[sum(seen) - len(some) : sum(seen)]

    loss.uncertain_points = uncertain_points
    for chunk in (16, 33, 40):
        monkeypatch.setattr(set_loss, 'MASK_CHUNK', chunk)
        seen.clear()
        results.append(loss._point_targets(logits, masks))
        assert sum(seen) == 40
        assert max(seen) == chunk
    for points, targets in results[1:]:
        assert torch.equal(points, results[0][0])
        assert torch.equal(targets, results[0][1])
    # on a device: by what the points and a mask of 64 x 96 take
    monkeypatch.setattr(set_loss, 'MASK_CHUNK', 16)
    for bytes_there, expected in ((1 << 29, (1 << 29) // (32 * 150 + 64 * 96)), (1, 16)):
        monkeypatch.setattr(set_loss, 'POINT_BYTES', bytes_there)
        assert loss._masks_at_a_time(masks.to('meta')) == expected


def test_an_assigner_without_costs_is_refused():
    with pytest.raises(ValueError, match='assigner is object, which has no match_costs; it must'):
        SetLoss(object(), None, None, None, (1.0, 0.1))
