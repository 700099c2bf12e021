"""From the masks of five views to one map, against one that holds every mask at full size.

python benchmarks/fusion.py
"""

import torch
from measuring import measure, run
from scenes import class_logits, mask_logits, view_layout
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmentity.models.fusion.entities import fuse_entities
from mmentity.models.fusion.geometry import ViewGeometry
from mmentity.models.fusion.panoptic import fuse_panoptic
from mmentity.models.fusion.semantic import fuse_semantic

QUERIES, OWNERS, CLASSES, THINGS = 100, 40, 150, 100
KINDS = ('entities', 'noise')


def plain_probs(logits: Tensor, layout: dict) -> Tensor:
    """Probabilities ``(Q, H0, W0)``, every view of all queries at full size."""
    size = layout['ori_shape']
    total, count = logits.new_zeros((len(logits), *size)), logits.new_zeros(size)
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
    owners = logits.new_zeros(layout['ori_shape'], dtype=torch.int32)
    sums = logits.new_zeros(len(logits), dtype=torch.float64)
    for q, prob in enumerate(probs):
        mask = (prob > 0.5) & (owners == 0)
        owners[mask] = q + 1
        sums[q] = prob[mask].sigmoid().double().sum()
    return owners, sums


def plain_semantic(class_probs: Tensor, logits: Tensor, layout: dict) -> Tensor:
    """Classes, all scores at full size."""
    scores = torch.einsum('qc,qhw->chw', class_probs, plain_probs(logits, layout))
    return scores.argmax(dim=0)


def plain_panoptic(scores: Tensor, labels: list, logits: Tensor, layout: dict) -> Tensor:
    """Segments, all masks at full size."""
    probs = plain_probs(logits, layout)
    winner = (scores[:, None, None] * probs).argmax(dim=0)
    segments, stuff = torch.zeros(layout['ori_shape'], dtype=torch.int32), {}
    for k, label in enumerate(labels):
        in_mask = probs[k] >= 0.5
        won = winner == k
        if (in_mask & won).any() and won.sum() / in_mask.sum() >= 0.8:
            number = stuff.get(label, k + 1)
            segments[in_mask & won] = number
            if label >= THINGS:
                stuff[label] = number
    return segments


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
        'entities dense': lambda: fuse_entities(logits, geometry_of(logits, layout), dense=True),
        'entities plain': lambda: plain_entities(logits, layout),
        'semantic': lambda: fuse_semantic(probs[:, :-1], logits, geometry_of(logits, layout)),
        'semantic plain': lambda: plain_semantic(probs[:, :-1], logits, layout),
        'panoptic': lambda: fuse_panoptic(
            scores[kept], labels[kept].tolist(), logits[kept], geometry_of(logits, layout), THINGS
        ),
        'panoptic plain': lambda: plain_panoptic(
            scores[kept], labels[kept].tolist(), logits[kept], layout
        ),
    }


def measure_case(case: dict) -> dict:
    """Measure one step, or compare the maps with the plain ones."""
    steps = steps_of(case)
    if case['step'] != 'difference':
        return measure(steps[case['step']], case.get('repeat', 5), case.get('repeat', 5) > 1)
    fused, (owners, sums) = steps['entities'](), steps['entities plain']()
    segments, expected = steps['panoptic']().segments, steps['panoptic plain']()
    return {
        'pixels_that_differ': {
            'entities': int((fused.owners != owners).sum()),
            'entities dense': int((steps['entities dense']().owners != owners).sum()),
            'semantic': int((steps['semantic']() != steps['semantic plain']()).sum()),
            'panoptic': int(((segments > 0) != (expected > 0)).sum()),
        },
        'queries_that_own': int((fused.areas > 0).sum()),
        'largest_relative_difference_of_sums': float(
            ((fused.prob_sums - sums).abs() / sums.clamp(min=1)).max()
        ),
    }


def cases() -> list:
    """List what is compared with the plain way, then what tells how cost grows."""
    sizes = ((1000, 1333), (2000, 2667), (3000, 4000), (6000, 8000))
    base = {'logits': 'entities', 'size': sizes[1]}
    listed = [{**base, 'step': 'difference', 'size': sizes[0]}]
    for step in ('entities', 'semantic', 'panoptic'):
        listed.append({**base, 'step': f'{step} plain'})
        for size in sizes:
            kinds = KINDS if size < sizes[3] or step == 'entities' else KINDS[:1]
            listed += [{'size': size, 'logits': kind, 'step': step} for kind in kinds]
    small = {'size': (288, 384), 'queries': 30, 'owners': 8}
    listed += [
        {**small, 'logits': kind, 'step': step}
        for kind in KINDS
        for step in ('entities', 'entities dense')
    ]
    for key, values in (
        ('queries', (50, 200, 400)),
        ('owners', (10, 20, 80)),
        ('views', (1, 2, 3, 4)),
    ):
        listed += [{**base, 'step': 'entities', key: value} for value in values]
    return listed


if __name__ == '__main__':
    run(__file__, cases(), measure_case, 'fusion')
