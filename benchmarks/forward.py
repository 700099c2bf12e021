"""Forward of the Swin-T CropFormer at test, against the plain composition.

python benchmarks/forward.py
"""

import time

import torch
from measuring import measure, run
from mmdet.structures import DetDataSample
from plain_models import PlainCropFormer, build
from torch import Tensor

SIZE = (800, 1088)
VIEWS = 5


def inputs_of(views: int, size: tuple = SIZE) -> Tensor:
    """Draw smooth noise, ``(1, V, 3, H, W)``."""
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(views, 3, size[0] // 16, size[1] // 16, generator=generator)
    return torch.nn.functional.interpolate(small, size, mode='bicubic')[None]


def ours(model: torch.nn.Module, inputs: Tensor) -> tuple:
    """Class and mask logits as :meth:`CropFormer.predict` makes them."""
    return model.panoptic_head.predict(model.extract_feat(inputs), [DetDataSample()])


def stages(variant: str, model: torch.nn.Module, inputs: Tensor) -> dict:
    """Seconds of each stage."""
    if variant == 'plain':
        plain = PlainCropFormer(model)
        steps = (plain.backbone, plain.pixels, lambda maps: plain.decode(*maps))
    else:
        head = model.panoptic_head
        decode_pixels = head._decode_pixels
        head._decode_pixels = lambda maps: maps  # they are decoded already
        steps = (
            model.extract_feat,
            decode_pixels,
            lambda maps: head.predict(maps, [DetDataSample()]),
        )
    seconds, value = {}, inputs
    for name, step in zip(('backbone', 'pixel decoder', 'both passes'), steps):
        start = time.perf_counter()
        value = step(value)
        seconds[name] = round(time.perf_counter() - start, 3)
    return {'stages_s': seconds}


def measure_case(case: dict) -> dict:
    """Measure one variant, or compare both."""
    options = {
        'model.test_cfg.max_memory_mb': case.get('max_memory_mb'),
        'model.panoptic_head.num_queries': case.get('queries', 100),
    }
    model = build(options=options)
    inputs = inputs_of(case.get('views', VIEWS), case.get('size', SIZE))
    with torch.no_grad():
        if case['variant'] == 'difference':
            result = ours(model, inputs)
            expected = PlainCropFormer(model)(inputs)
            names = ('class_logits', 'mask_logits')
            return {name: float((a - b).abs().max()) for name, a, b in zip(names, result, expected)}
        function = PlainCropFormer(model) if case['variant'] == 'plain' else None
        repeat = case.get('repeat', 5)
        measured = measure(
            lambda: function(inputs) if function else ours(model, inputs), repeat, repeat > 1
        )
        return {**measured, **(stages(case['variant'], model, inputs) if repeat > 1 else {})}


GROWTH = {'variant': 'mmentity', 'views': 2, 'size': [480, 640]}
CASES = [
    {'variant': 'difference'},
    {'variant': 'plain'},
    {'variant': 'mmentity'},
    {'variant': 'mmentity', 'max_memory_mb': 4000},
    *({**GROWTH, 'views': views} for views in (2, 3, 4, 5)),
    *({**GROWTH, 'size': size} for size in ([224, 320], [320, 448], [800, 1088], [1120, 1472])),
    *({**GROWTH, 'queries': queries} for queries in (50, 200, 400)),
]

if __name__ == '__main__':
    run(__file__, CASES, measure_case, 'forward')
