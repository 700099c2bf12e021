"""A training step of the Swin-T CropFormer, against the plain composition, and its options.

python benchmarks/training.py
"""

import numpy as np
import torch
from measuring import measure, run
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from plain_models import PlainCropFormer, build
from scenes import entity_ids, photograph
from torch import nn

IMAGES, VIEWS, SIZE, ENTITIES = 2, 2, (480, 640), 25


def batch_of(model: nn.Module, case: dict) -> dict:
    """Make images of two views with entities, as the data loader gives them."""
    size, entities = case.get('size', SIZE), case.get('entities', ENTITIES)
    height, width = size
    inputs, samples = [], []
    for b in range(IMAGES):
        image = photograph(2 * height, 2 * width)[:, :: (-1) ** b]
        ids = entity_ids(2 * height, 2 * width, entities)[:, :: (-1) ** b]
        views = (slice(None, None, 2),) * 2, (slice(b * height, (b + 1) * height), slice(width))
        pixels = np.stack([image[view].transpose(2, 0, 1) for view in views])
        inputs.append(torch.from_numpy(pixels))
        sample = DetDataSample(metainfo={'view_shapes': [size] * VIEWS})
        sample.gt_instances = InstanceData(labels=torch.zeros(entities, dtype=torch.long))
        sample.gt_view_maps = [torch.from_numpy(ids[view].copy())[None] for view in views]
        samples.append(sample)
    return model.data_preprocessor({'inputs': inputs, 'data_samples': samples}, training=True)


def model_of(case: dict) -> nn.Module:
    """Build the model with the options of a case."""
    options = {f'model.{part}.with_cp': True for part in case.get('with_cp', ())}
    model = build(options={'model.backbone.drop_path_rate': 0.0, **options}).train()
    if 'memory_format' in case:
        model = model.to(memory_format=getattr(torch, case['memory_format']))
    compiled = case.get('compile', ())
    if 'backbone' in compiled:
        model.backbone = torch.compile(model.backbone)
    if 'decoders' in compiled:
        head = model.panoptic_head
        head.pixel_decoder = torch.compile(head.pixel_decoder)
        for layer in head.transformer_decoder.layers:
            layer.forward = torch.compile(layer.forward)
    return model


def losses_of(case: dict, model: nn.Module, data: dict) -> dict:
    """Losses of the variant of a case."""
    model = PlainCropFormer(model) if case['variant'] == 'plain' else model
    device = data['inputs'].device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=case.get('amp', False)):
        return model.loss(data['inputs'], data['data_samples'])


def measure_case(case: dict) -> dict:
    """Measure a step of one variant, or compare both."""
    torch.manual_seed(0)
    model = model_of(case)
    data = batch_of(model, case)
    if case['variant'] == 'difference':
        return compare(model, data)

    def step() -> None:
        torch.manual_seed(0)
        sum(losses_of(case, model, data).values()).backward()
        model.zero_grad()

    return measure(step, case.get('repeat', 5))


def compare(model: nn.Module, data: dict) -> dict:
    """Compare all losses and the gradient, with the same points for both."""
    head = model.panoptic_head
    points = torch.rand(1, head.num_points, 2)
    head.set_loss.random_points = lambda device: points
    head.set_loss.uncertain_points = lambda logits: points.expand(len(logits), -1, -1)
    losses, gradients = [], []
    for variant in ('mmentity', 'plain'):
        values = losses_of({'variant': variant}, model, data)
        sum(values.values()).backward()
        losses.append({name: value.item() for name, value in values.items()})
        # fresh offsets are whole cells, where the slope of bilinear sampling jumps
        gradients.append(
            {
                name: p.grad.clone()
                for name, p in model.named_parameters()
                if 'sampling_offsets' not in name
            }
        )
        model.zero_grad()
    relative = {
        name: abs(value - losses[1][name]) / max(abs(losses[1][name]), 1e-6)
        for name, value in losses[0].items()
    }
    ours, plain = (torch.cat([g.flatten() for g in grads.values()]) for grads in gradients)
    return {
        'losses': len(relative),
        'largest_relative_difference_of_losses': max(relative.values()),
        'relative_difference_of_gradient': float((ours - plain).norm() / plain.norm()),
    }


SMALL = {'variant': 'mmentity', 'size': [256, 352]}
CASES = [
    {'variant': 'difference', 'size': [256, 352]},
    {'variant': 'plain'},
    {'variant': 'mmentity'},
    SMALL,
    {**SMALL, 'with_cp': ['backbone']},
    {**SMALL, 'with_cp': ['panoptic_head']},
    {**SMALL, 'with_cp': ['backbone', 'panoptic_head']},
    {**SMALL, 'amp': True},
    {**SMALL, 'memory_format': 'channels_last'},
    {**SMALL, 'compile': ['backbone', 'decoders']},
]

if __name__ == '__main__':
    run(__file__, CASES, measure_case, 'training')
