"""Forward, fusion and a training step on a GPU, in each precision.

python benchmarks/gpu.py                     on a GPU; fills the tables of docs/performance.md
python benchmarks/gpu.py --only fusion       some of the cases
python benchmarks/gpu.py --device cpu --tiny that it runs, where no GPU is; keeps nothing
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from forward import inputs_of
from fusion import OWNERS, QUERIES, geometry_of, plain_entities
from measuring import ROOT, keep
from plain_models import build
from scenes import mask_logits, view_layout
from stages import STAGES, Stages
from torch import nn
from training import batch_of, losses_of

from mmentity.apis.compiled import compile_for_prediction
from mmentity.models.fusion.entities import fuse_entities
from mmentity.models.memory import MIB
from mmentity.models.precision import DTYPES, lack_of
from mmentity.utils.shipped_configs import get_config

VIEW = (800, 1344)
SIZES = ((1000, 1333), (3000, 4000), (6000, 8000))
BACKBONES = ('swin-t', 'swin-l', 'hornet-l')
TINY = {'view': (64, 96), 'sizes': ((60, 80),), 'backbones': ('swin-nano',), 'repeat': 1}


def cases(tiny: bool = False) -> list:
    """List what is measured; the tiny ones only show that it runs."""
    view, sizes, backbones = VIEW, SIZES, BACKBONES
    if tiny:
        view, sizes, backbones = TINY['view'], TINY['sizes'], TINY['backbones']
    more = {'repeat': TINY['repeat']} if tiny else {}
    listed = [
        {'step': 'forward', 'model': f'{kind}_{backbone}', 'size': view, 'precision': precision}
        for kind in ('cropformer', 'mask2former')
        for backbone in backbones
        for precision in DTYPES
    ]
    listed += [
        {'step': 'forward', 'model': f'cropformer_{backbones[0]}', 'size': view, **options}
        for options in ({'max_memory_mb': 2000}, {'compile': True})
        if not (tiny and 'compile' in options)
    ]
    listed += [
        {'step': 'fusion', 'way': way, 'size': size} for size in sizes for way in ('ours', 'dense')
    ]
    training = {'step': 'training', 'model': f'cropformer_{backbones[0]}'}
    size = TINY['view'] if tiny else (480, 640)
    listed += [
        {**training, 'size': size, 'variant': variant, 'amp': amp}
        for variant in ('mmentity', 'plain')
        for amp in (False, True)
    ]
    return [{**case, **more} for case in listed]


def measure(step: Callable, device: str, repeat: int) -> dict:
    """Time a step, and take its highest memory above that before it, where there is a GPU.

    Returns:
        ``median_s``, and ``peak_mib`` of PyTorch's allocator, None on a CPU.
    """
    on_gpu = device != 'cpu'
    step()
    seconds, peaks = [], []
    for _ in range(repeat):
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        start = time.perf_counter()
        step()
        if on_gpu:
            torch.cuda.synchronize()
            peaks.append((torch.cuda.max_memory_allocated() - before) / MIB)
        seconds.append(time.perf_counter() - start)
    return {
        'median_s': round(statistics.median(seconds), 5),
        'peak_mib': round(max(peaks), 1) if peaks else None,
    }


def measure_forward(case: dict, device: str) -> dict:
    """Backbone and head, and the share of each stage."""
    options = {
        'model.test_cfg.precision': case.get('precision', 'fp32'),
        'model.test_cfg.max_memory_mb': case.get('max_memory_mb'),
    }
    model = _model(case['model'], options).to(device)
    lack = lack_of(case.get('precision', 'fp32'), torch.device(device))
    if lack is not None:
        return {'not_measured': lack}
    if case.get('compile'):
        compile_for_prediction(model)
    views = 5 if case['model'].startswith('cropformer') else 1
    inputs = inputs_of(views, tuple(case['size'])).to(device)

    def clock() -> float:
        if inputs.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    repeat = case.get('repeat', 10)
    with torch.no_grad():
        measured = measure(lambda: model.predict_masks(inputs, [None]), device, repeat)
        with Stages(model, clock).watched() as stages:
            model.predict_masks(inputs, [None])
    whole = sum(stages.seconds.values())
    return {
        **measured,
        'images_s': round(1 / measured['median_s'], 3),
        'stages': {name: round(stages.seconds[name] / whole, 3) for name in STAGES},
    }


def measure_fusion(case: dict, device: str) -> dict:
    """From masks of five views to one map; the dense way holds every mask at full size."""
    layout = view_layout(*case['size'])
    logits = mask_logits(layout, QUERIES, OWNERS).to(device)
    steps = {
        'ours': lambda: fuse_entities(logits, geometry_of(logits, layout)),
        'dense': lambda: plain_entities(logits, layout),
    }
    return measure(steps[case['way']], device, case.get('repeat', 5))


def measure_training(case: dict, device: str) -> dict:
    """Forward and backward over two images of two views."""
    torch.manual_seed(0)
    model = _model(case['model'], {'model.backbone.drop_path_rate': 0.0}).train().to(device)
    data = batch_of(model, case)

    def step() -> None:
        sum(losses_of(case, model, data).values()).backward()
        model.zero_grad()

    return measure(step, device, case.get('repeat', 5))


MEASURES = {
    'forward': measure_forward,
    'fusion': measure_fusion,
    'training': measure_training,
}


def _model(name: str, options: dict) -> nn.Module:
    """Build a model of a shipped config, with random weights."""
    suffix = '_demo' if 'nano' in name else '_3x'
    return build(str(get_config(name + suffix).filename), options)


def in_own_process(case: dict, device: str) -> dict:
    """Measure a case in a process of its own; memory that does not suffice is a result too."""
    line = [sys.executable, __file__, '--device', device, '--case', json.dumps(case)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT)
    if 'OutOfMemoryError' in done.stderr:
        return {'not_measured': 'out of memory'}
    if done.returncode:
        raise RuntimeError(f'{case} failed:\n{done.stderr[-3000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every case, and keep what was measured on a GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--tiny', action='store_true', help='small cases, of which none is kept')
    parser.add_argument('--only', nargs='+', default=[''], help='cases whose JSON has one of these')
    parser.add_argument('--case', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case is not None:
        case = json.loads(args.case)
        print(json.dumps(MEASURES[case['step']](case, args.device)))
        return
    if args.device != 'cpu' and not torch.cuda.is_available():
        raise SystemExit('there is no GPU; --device cpu --tiny shows that the benchmark runs')
    if args.device == 'cpu' and not args.tiny:
        raise SystemExit('this benchmark is for GPUs; on a CPU it runs with --tiny only')
    for case in cases(args.tiny):
        if any(word in json.dumps(case) for word in args.only):
            measured = in_own_process(case, args.device)
            print(json.dumps({**case, **measured}), flush=True)
            if not args.tiny:
                gpu = torch.cuda.get_device_name(args.device)
                keep('gpu', case, {**measured, 'gpu': gpu})


if __name__ == '__main__':
    main()
