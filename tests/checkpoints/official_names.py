"""Official names and shapes of every family of the release.

The fixtures list Mask2Former with Swin-T and CropFormer with HorNet-L. The others
follow from them: Swin-L is Swin-T of twice the width and heads with 18 blocks in
its third stage and, in some, windows of 12; CropFormer has the association of the
HorNet-L list and one class weight for each pass; classes and queries change the
sizes of three embeddings.
"""

import re
import zlib
from typing import NamedTuple

import torch

PREDICTOR = 'sem_seg_head.predictor.'
ASSOCIATION = f'{PREDICTOR}make_3d.'
THIRD_STAGE = r'backbone\.layers\.2\.blocks\.(\d+)\.'


class Family(NamedTuple):
    """A kind of checkpoint, and the shipped configs that it is for."""

    model: str
    backbone: str
    classes: int = 1
    queries: int = 100
    window: int = 7


FAMILIES = {
    'cropformer_swin-t': Family('cropformer', 'swin-t'),
    'cropformer_swin-l': Family('cropformer', 'swin-l'),
    'cropformer_hornet-l': Family('cropformer', 'hornet-l', queries=200),
    'mask2former_swin-t': Family('mask2former', 'swin-t'),
    'mask2former_swin-l': Family('mask2former', 'swin-l'),
    'mask2former_hornet-l': Family('mask2former', 'hornet-l', queries=200),
    'mask2former_swin-t_instance': Family('mask2former', 'swin-t', 206),
    'mask2former_swin-l_instance': Family('mask2former', 'swin-l', 206, window=12),
    'mask2former_swin-t_semantic': Family('mask2former', 'swin-t', 150),
    'mask2former_swin-l-w7_semantic': Family('mask2former', 'swin-l', 150),
    'mask2former_swin-l-w12_semantic': Family('mask2former', 'swin-l', 150, 200, 12),
    'mask2former_swin-t_panoptic': Family('mask2former', 'swin-t', 350),
    'mask2former_swin-l-w7_panoptic': Family('mask2former', 'swin-l', 350),
    'mask2former_swin-l-w12_panoptic': Family('mask2former', 'swin-l', 350, 200, 12),
}


def official_shapes(reference, family):
    """Official names of a family to shapes, buffers included."""
    swin, hornet = (
        {entry['name']: tuple(entry['shape']) for entry in reference.load(name)[0]['state_dict']}
        for name in ('mask2former_swin_t', 'cropformer_hornet_l_384')
    )
    shapes = hornet if family.backbone == 'hornet-l' else swin
    if family.backbone == 'swin-l':
        shapes = _widen(_deepen(shapes), family.window)
    shapes = _for_model(shapes, hornet, family.model)
    for leaf in ('query_feat.weight', 'query_embed.weight'):
        shapes[PREDICTOR + leaf] = (family.queries, shapes[PREDICTOR + leaf][1])
    for name, shape in shapes.items():
        if '.class_embed.' in name or name.endswith('empty_weight'):
            shapes[name] = (family.classes + 1, *shape[1:])
    return shapes


def cheap_weights(shapes):
    """Weights that differ by name and along the last axis, and take no memory."""
    return {
        name: (torch.arange(shape[-1]) + zlib.crc32(name.encode()) % 9973).float().expand(shape)
        for name, shape in shapes.items()
    }


def _deepen(shapes):
    deeper = dict(shapes)
    for name, shape in shapes.items():
        match = re.match(THIRD_STAGE, name)
        if match and match.group(1) == '5':
            for block in range(6, 18):
                deeper[name.replace('.blocks.5.', f'.blocks.{block}.')] = shape
    return deeper


def _widen(shapes, window):
    wider = {}
    for name, shape in shapes.items():
        if name.endswith('relative_position_index'):
            shape = (window**2, window**2)
        elif name.endswith('relative_position_bias_table'):
            shape = ((2 * window - 1) ** 2, 2 * shape[1])
        elif name.startswith('backbone.'):
            # channels are multiples of 96; the rest is RGB and the size of a patch
            shape = tuple(2 * size if size % 96 == 0 else size for size in shape)
        elif re.search(r'\.(input_proj\.\d\.0|adapter_1)\.weight$', name):
            shape = (shape[0], 2 * shape[1], *shape[2:])
        wider[name] = shape
    return wider


def _for_model(shapes, hornet, model):
    kept = {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith((ASSOCIATION, 'criterion'))
    }
    if model == 'mask2former':
        return {**kept, 'criterion.empty_weight': (2,)}
    association = {name: shape for name, shape in hornet.items() if name.startswith(ASSOCIATION)}
    return {
        **kept,
        **association,
        'criterion_2d.empty_weight': (2,),
        'criterion_3d.empty_weight': (2,),
    }
