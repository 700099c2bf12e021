"""Forward of the Swin-T CropFormer at test, against the plain composition.

python benchmarks/forward.py
"""

import statistics
import time

import torch
from measuring import measure, run
from mmdet.structures import DetDataSample
from plain_models import PlainCropFormer, build
from stages import STAGES, Stages, product_rate
from torch import Tensor

from mmentity.models import detectors

SIZE = (800, 1088)
VIEWS = 5


def inputs_of(views: int, size: tuple = SIZE) -> Tensor:
    """Draw smooth noise, ``(1, V, 3, H, W)``."""
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(views, 3, size[0] // 16, size[1] // 16, generator=generator)
    return torch.nn.functional.interpolate(small, size, mode='bicubic')[None]


def ours(model: torch.nn.Module, inputs: Tensor) -> tuple:
    """Class and mask logits as :meth:`CropFormer.predict` makes them."""
    return model.predict_masks(inputs, [DetDataSample()])


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


def limit(model: torch.nn.Module, inputs: Tensor, repeat: int) -> dict:
    """Compare the rate of each stage with that of a plain product on the same threads."""
    stages, rates, seconds = Stages(model.requires_grad_(False)), [], []
    with stages.count():
        model.predict_masks(inputs, [None])
    for _ in range(repeat):
        rates.append(product_rate())
        with stages.watched():
            start = time.process_time()
            model.predict_masks(inputs, [None])
            seconds.append(time.process_time() - start)
    rate = statistics.median(rates)
    rows = {name: (stages.macs[name], stages.seconds[name] / repeat) for name in STAGES}
    rows['all'] = (sum(stages.macs.values()), statistics.fmean(seconds))
    return {
        'product_gmac_s': round(rate / 1e9, 1),
        'limit': {
            name: {
                'gmac': round(macs / 1e9, 1),
                'cpu_s': round(cpu_s, 3),
                'gmac_s': round(macs / cpu_s / 1e9, 1),
                'share': round(macs / cpu_s / rate, 3),
            }
            for name, (macs, cpu_s) in rows.items()
        },
    }


def measure_case(case: dict) -> dict:
    """Measure one variant, or compare both."""
    if case.get('blocks') == 'mmpretrain':
        detectors.use_windowed_blocks = lambda backbone: None
    options = {
        'model.test_cfg.precision': case.get('precision'),
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
        if case['variant'] == 'limit':
            return limit(model, inputs, case.get('repeat', 3))
        function = PlainCropFormer(model) if case['variant'] == 'plain' else None
        repeat = case.get('repeat', 5)
        measured = measure(
            lambda: function(inputs) if function else ours(model, inputs), repeat, repeat > 1
        )
        by_stage = repeat > 1 and 'precision' not in case
        return {**measured, **(stages(case['variant'], model, inputs) if by_stage else {})}


GROWTH = {'variant': 'mmentity', 'views': 2, 'size': [480, 640]}
CASES = [
    {'variant': 'difference'},
    {'variant': 'plain'},
    {'variant': 'mmentity'},
    {'variant': 'mmentity', 'max_memory_mb': 4000},
    {'variant': 'mmentity', 'precision': 'bf16'},
    {'variant': 'limit'},
    {'variant': 'limit', 'blocks': 'mmpretrain'},
    *({**GROWTH, 'views': views} for views in (2, 3, 4, 5)),
    *({**GROWTH, 'size': size} for size in ([224, 320], [320, 448], [800, 1088], [1120, 1472])),
    *({**GROWTH, 'queries': queries} for queries in (50, 200, 400)),
]

if __name__ == '__main__':
    run(__file__, CASES, measure_case, 'forward')
