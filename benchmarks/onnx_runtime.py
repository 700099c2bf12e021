"""Exported networks in ONNX Runtime beside PyTorch: logits, id maps, file sizes and seconds.

python benchmarks/onnx_runtime.py

Weights are those of the recipe of ``tests/reference``, so that the fixtures there, which are of
the official code, can be compared with too.
"""

import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from measuring import MIB, ROOT, run

from mmentity.apis import EntityInferencer
from mmentity.apis.models import get_model
from mmentity.converters import mmentity_to_detectron2
from mmentity.deploy.export import Exported, Network, export_network
from mmentity.deploy.half import halve_weights
from mmentity.deploy.runtime import OnnxGraph
from mmentity.deploy.views import make_views
from mmentity.utils.shipped_configs import get_config

REFERENCE = ROOT / 'tests' / 'reference'
# fixtures of the official code, by config, and the short side that they are of
FIXTURES = {
    'cropformer_hornet-l_3x': ('cropformer_hornet_l_384', 256),
    'mask2former_swin-t_3x': ('mask2former_swin_t', 320),
}
BACKBONES = ('swin-t', 'swin-l', 'hornet-l')
IMAGE = (300, 400)


def recipe() -> Any:
    """Import the recipe of weights and images."""
    spec = importlib.util.spec_from_file_location('recipe', REFERENCE / 'recipe.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(name: str, short_side: int) -> torch.nn.Module:
    """Build the model of a config with weights of the recipe."""
    config = get_config(name)
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'mmentity.ResizeViews':
            step.short_side = short_side
    model = get_model(config, device='cpu')
    names = mmentity_to_detectron2(model.state_dict())
    kept = ('relative_position_index', 'empty_weight')
    model.load_state_dict(
        {
            name: value
            if name.endswith(kept)
            else torch.from_numpy(recipe().fill(name, value.shape))
            for name, value in names.items()
        }
    )
    return model.eval()


def export(model: torch.nn.Module, folder: str, size: tuple[int, int]) -> Exported:
    """Write the file of a model."""
    return export_network(model, Path(folder) / 'model.onnx', *size)


def half_bytes(exported: Exported, model: torch.nn.Module) -> int:
    """Size of the file with its weights in float16."""
    proto = onnx.load(exported.path)
    halve_weights(proto, model)
    return proto.ByteSize()


def compare(case: dict) -> dict:
    """Export one config, and compare logits and maps of one image."""
    fixture, short_side = FIXTURES.get(case['model'], (None, case['short_side']))
    model = build(case['model'], short_side)
    info, arrays, seed = {}, None, 0
    if fixture:
        info = json.loads((REFERENCE / f'{fixture}.json').read_text())
        arrays, seed = np.load(REFERENCE / f'{fixture}.npz'), info['image']['seed']
    image = np.ascontiguousarray(recipe().image(*IMAGE, seed)[..., ::-1])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        # the size that the model pads this image to by itself
        exported = export(model, folder, padded_size(short_side))
        seconds = time.perf_counter() - start
        graph = OnnxGraph(exported.path, 'cpu')
        given = make_views(image, exported.info)
        ours = graph(given.views)
        with torch.no_grad():
            theirs = [t[0].numpy() for t in Network(model)(torch.from_numpy(given.views))]
        names = ('class_logits', 'mask_logits')
        measured: dict[str, Any] = {
            'export_s': round(seconds, 1),
            'mib': round(exported.num_bytes / MIB, 1),
            'mib_half': round(half_bytes(exported, model) / MIB, 1),
            **{name: spread(a, b) for name, a, b in zip(names, ours, theirs)},
        }
        result = EntityInferencer(exported.path, device='cpu', show_progress=False).predict(image)
    expected = EntityInferencer(model, device='cpu', show_progress=False).predict(image)
    certain = np.ones(result.entity_map.shape, bool)
    if arrays is not None:
        certain = ~np.unpackbits(arrays['uncertain'], axis=-1)[:, : IMAGE[1]].astype(bool)
        measured['map_as_official'] = agreement(
            result.entity_map[certain], arrays['result_id_map'][certain]
        )
    measured['entities'] = len(result)
    measured['map_as_pytorch'] = agreement(result.entity_map[certain], expected.entity_map[certain])
    return measured


def padded_size(short_side: int) -> tuple[int, int]:
    """Size that the views of the image are padded to, px."""
    longest = -(-IMAGE[1] * short_side // IMAGE[0])
    height, width = (-(-(side + 1) // 32) * 32 for side in (short_side - 1, longest))
    return height, width


def spread(ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Median, 99.9 % quantile and maximum of the difference of logits."""
    difference = np.abs(ours - theirs)
    return {
        'median': float(np.median(difference)),
        'q999': float(np.quantile(difference, 0.999)),
        'largest': float(difference.max()),
    }


def agreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of pixels on which two maps agree, in whatever order they count."""
    pairs = Counter(zip(ours.ravel().tolist(), theirs.ravel().tolist()))
    best: dict[int, int] = {}
    taken: set[int] = set()
    for (one, other), count in pairs.most_common():
        if one not in best and other not in taken:
            best[one] = count
            taken.add(other)
    return round(sum(best.values()) / ours.size, 6)


def seconds_of(case: dict) -> dict:
    """Time one network in PyTorch and in ONNX Runtime, in turns."""
    height, width = case['height'], case['width']
    model = build(case['model'], height)
    with tempfile.TemporaryDirectory() as folder:
        exported = export(model, folder, (height, width))
        graph = OnnxGraph(exported.path, 'cpu')
    views = np.random.default_rng(0).standard_normal(
        (1, exported.info.num_views, 3, height, width), dtype=np.float32
    )
    tensor = torch.from_numpy(views)
    times: dict[str, list[float]] = {'pytorch': [], 'onnxruntime': []}
    with torch.no_grad():
        for _ in range(case.get('repeat', 2)):
            for name, call in (
                ('pytorch', lambda: model.predict_masks(tensor, [None])),
                ('onnxruntime', lambda: graph(views)),
            ):
                start = time.perf_counter()
                call()
                times[name].append(round(time.perf_counter() - start, 2))
    return {
        'seconds': times,
        **{f'{name}_s': round(statistics.median(values), 2) for name, values in times.items()},
    }


def measure_case(case: dict) -> dict:
    """Measure one case."""
    import onnxruntime

    measure = {'compare': compare, 'seconds': seconds_of}[case['what']]
    return {**measure(case), 'onnxruntime': onnxruntime.__version__}


CASES = [
    *(
        {'what': 'compare', 'model': f'{kind}_{backbone}_3x', 'short_side': 256}
        for kind in ('mask2former', 'cropformer')
        for backbone in BACKBONES
    ),
    {'what': 'seconds', 'model': 'cropformer_swin-t_3x', 'height': 800, 'width': 1088},
]

if __name__ == '__main__':
    sys.exit(run(__file__, CASES, measure_case, 'onnx_runtime'))
