"""From the masks of five views to one map, against one that holds every mask at full size.

python benchmarks/fusion.py
"""

import torch
from measuring import measure, run
from scenes import class_logits, mask_logits, view_layout
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmentity.models.task_fusion import fuse_panoptic, fuse_semantic
from mmentity.models.view_fusion import fuse_entities
from mmentity.models.view_geometry import ViewGeometry

QUERIES, OWNERS, CLASSES = 100, 40, 150


def plain_probs(logits: Tensor, layout: dict) -> Tensor:
    """Probabilities ``(Q, H0, W0)``, every view of all queries at full size."""
    size = layout['ori_shape']
    total, count = torch.zeros((len(logits), *size)), torch.zeros(size)
    views = zip(layout['view_boxes'], layout['view_shapes'])
    for v, ((x0, y0, x1, y1), (height, width)) in enumerate(views):
        large = F.interpolate(logits[:, v : v + 1], layout['batch_input_shape'], mode='bilinear')
        large = F.interpolate(large[..., :height, :width], (y1 - y0, x1 - x0), mode='bilinear')
        total[:, y0:y1, x0:x1] += large[:, 0].sigmoid_()
        count[y0:y1, x0:x1] += 1
    return total.div_(count)


def plain_entities(logits: Tensor, layout: dict) -> tuple:
    """Map and sum of scores of each query, mask by mask."""
    probs = plain_probs(logits, layout)
    owners = torch.zeros(layout['ori_shape'], dtype=torch.int32)
    sums = torch.zeros(len(logits), dtype=torch.float64)
    for q, prob in enumerate(probs):
        mask = (prob > 0.5) & (owners == 0)
        owners[mask] = q + 1
        sums[q] = prob[mask].sigmoid().double().sum()
    return owners, sums


def plain_semantic(class_probs: Tensor, logits: Tensor, layout: dict) -> Tensor:
    """Classes, all scores at full size."""
    scores = torch.einsum('qc,qhw->chw', class_probs, plain_probs(logits, layout))
    return scores.argmax(dim=0)


def geometry_of(logits: Tensor, layout: dict) -> ViewGeometry:
    """Where the views lie."""
    return ViewGeometry(
        logits.shape[-2:],
        layout['view_boxes'],
        layout['view_shapes'],
        layout['batch_input_shape'],
        layout['ori_shape'],
        logits.device,
    )


def steps_of(case: dict) -> dict:
    """What a case can measure, by name."""
    queries, owners = case.get('queries', QUERIES), case.get('owners', OWNERS)
    layout = view_layout(*case['size'], case.get('views', 5))
    logits = mask_logits(layout, queries, owners, case['logits'])
    probs = class_logits(queries, owners, CLASSES).softmax(-1)
    scores, labels = probs[:, :-1].max(dim=-1)
    kept = slice(owners)
    return {
        'entities': lambda: fuse_entities(logits, geometry_of(logits, layout)),
        'entities plain': lambda: plain_entities(logits, layout),
        'semantic': lambda: fuse_semantic(probs[:, :-1], logits, geometry_of(logits, layout)),
        'semantic plain': lambda: plain_semantic(probs[:, :-1], logits, layout),
        'panoptic': lambda: fuse_panoptic(
            scores[kept], labels[kept].tolist(), logits[kept], geometry_of(logits, layout), 100
        ),
    }


def measure_case(case: dict) -> dict:
    """Measure one step, or compare the map with the plain one."""
    steps = steps_of(case)
    if case['step'] != 'entities difference':
        return measure(steps[case['step']], case.get('repeat', 5), case.get('repeat', 5) > 1)
    fused, (owners, sums) = steps['entities'](), steps['entities plain']()
    return {
        'pixels_that_differ': int((fused.owners != owners).sum()),
        'queries_that_own': int((fused.areas > 0).sum()),
        'largest_relative_difference_of_sums': float(
            ((fused.prob_sums - sums).abs() / sums.clamp(min=1)).max()
        ),
    }


def cases() -> list:
    """List what the issue of high resolution asks for, then what growth needs."""
    sizes = ((1000, 1333), (2000, 2667), (3000, 4000), (6000, 8000))
    base = {'logits': 'entities', 'size': sizes[1]}
    listed = [{**base, 'step': 'entities difference'}]
    listed += [{**base, 'step': step} for step in ('entities', 'entities plain')]
    for size in sizes:
        for logits in ('entities', 'noise'):
            listed.append({'size': size, 'logits': logits, 'step': 'entities'})
    for step in ('semantic', 'panoptic'):
        listed += [{'size': size, 'logits': 'entities', 'step': step} for size in sizes]
        listed.append({'size': sizes[2], 'logits': 'noise', 'step': step})
    listed.append({**base, 'step': 'semantic plain', 'size': sizes[0]})
    for queries in (50, 100, 200, 400):
        listed.append({**base, 'step': 'entities', 'queries': queries})
    for owners in (10, 20, 40, 80):
        listed.append({**base, 'step': 'entities', 'owners': owners})
    for views in (1, 2, 3, 4, 5):
        listed.append({**base, 'step': 'entities', 'views': views})
    return listed


if __name__ == '__main__':
    run(__file__, cases(), measure_case, 'fusion')
