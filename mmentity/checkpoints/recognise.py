"""Which project weights come from, and their conversion to mmentity's names and back."""

import re
from collections.abc import Collection, Mapping
from typing import Optional

import torch
from torch import Tensor

from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.key_map import (
    Weights,
    join_thirds,
    map_keys,
    relative_position_indices,
    split_thirds,
)
from mmentity.checkpoints.key_tables import BACKBONES, MODELS, TRANSFORMERS

OFFICIAL = 'the official release'
BACKBONE = 'a backbone of ImageNet'
HUGGING_FACE = 'transformers'
MMENTITY = 'mmentity'

# Names by which each project is known; those of distributed runs begin with ``module.``.
_HEAD_OF_DETECTRON2 = re.compile(r'(module\.)?sem_seg_head\.')
_HEAD = re.compile(r'(module\.)?panoptic_head\.')
_HEAD_OF_TRANSFORMERS = re.compile(r'(module\.)?model\.transformer_module\.')
_BACKBONE_OF_MMPRETRAIN = re.compile(r'(module\.)?backbone\..*(\.attn\.w_msa\.|\.gnconv\.projs\.)')
_BACKBONE_OF_AUTHORS = re.compile(r'\.attn\.relative_position_bias_table|\.gnconv\.pws\.')

NO_OBJECT_WEIGHT = 0.1


def source_of(names: Collection[str]) -> Optional[str]:
    """Tell by the names which project wrote weights; None for any other project."""
    if any(_HEAD_OF_DETECTRON2.match(name) for name in names):
        return OFFICIAL
    if any(_HEAD.match(name) for name in names):
        return MMENTITY
    if any(_HEAD_OF_TRANSFORMERS.match(name) for name in names):
        return HUGGING_FACE
    if _is_mmpretrain(names) or any(map(_BACKBONE_OF_AUTHORS.search, names)):
        return BACKBONE
    return None


def recognise(state_dict: Mapping[str, Tensor]) -> Weights:
    """Tell by the names which project wrote weights, and convert them.

    Raises:
        WeightsError: If the names are of none of the projects, or not complete.
    """
    source = source_of(state_dict)
    if source == OFFICIAL:
        return _map_official(state_dict)
    if source == BACKBONE:
        return _map_backbone(state_dict)
    if source == HUGGING_FACE:
        weights = map_keys(HUGGING_FACE, state_dict, 'transformers', TRANSFORMERS)
        return weights._replace(state_dict=join_thirds(weights.state_dict))
    if source == MMENTITY:
        return Weights(source, dict(state_dict), {name: name for name in state_dict}, {})
    raise WeightsError(
        f'the {len(state_dict)} names, {next(iter(state_dict))!r} the first, are neither of '
        'CropFormer, Mask2Former, Swin nor HorNet; these weights belong to another project'
    )


def convert_detectron2(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the weights of an official CropFormer or Mask2Former model.

    They then load strictly into the model of the same architecture. Values are
    shared where they do not change.

    Raises:
        WeightsError: If a name is unknown, or one that must be there is missing;
            the message names it.

    Examples:
        >>> weights = torch.load('official.pth', weights_only=True)['model']
        >>> model.load_state_dict(convert_detectron2(weights))
    """
    return _map_official(state_dict).state_dict


def convert_backbone(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a Swin or HorNet trained on ImageNet.

    Reads the names of Microsoft's Swin, of HorNet's authors, and of mmpretrain;
    their classifier and its last norm are dropped, as the segmentation model
    learns a norm for each of its four feature maps. The result, ``backbone...``, is
    a part of the weights of a model.

    Raises:
        WeightsError: If a name is unknown or missing; the message names it.

    Examples:
        >>> weights = torch.load('swin_tiny_patch4_window7_224.pth', weights_only=True)['model']
        >>> model.load_state_dict(convert_backbone(weights), strict=False)
    """
    return _map_backbone(state_dict).state_dict


def mmentity_to_detectron2(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights of mmentity for the official code.

    The exact inverse of :func:`convert_detectron2`, with the constants that the
    official modules keep beside their weights. Save the result as ``{'model': ...}``
    for Detectron2.

    Raises:
        WeightsError: If a name is unknown, or one that must be there is missing;
            the message names it.

    Examples:
        >>> weights = torch.load('work_dirs/.../iter_206250.pth')['state_dict']
        >>> torch.save({'model': mmentity_to_detectron2(weights)}, 'official.pth')
    """
    return map_to_official(state_dict).state_dict


def map_to_official(state_dict: Mapping[str, Tensor]) -> Weights:
    """As :func:`mmentity_to_detectron2`, with what became of every name."""
    mapping = map_keys(MMENTITY, state_dict, 'mmentity', MODELS[_backbone_type(state_dict)])
    official = mapping.state_dict
    class_weight = _class_weight(official['sem_seg_head.predictor.class_embed.bias'])
    two_passes = any('.make_3d.' in name for name in official)
    for criterion in ('criterion_2d', 'criterion_3d') if two_passes else ('criterion',):
        official[f'{criterion}.empty_weight'] = class_weight.clone()
    return mapping


def map_to_transformers(state_dict: Mapping[str, Tensor]) -> Weights:
    """Convert weights of a Mask2Former with a Swin for transformers.

    The exact inverse of what :func:`recognise` does with weights of transformers, with the
    constants that its modules keep beside them.

    Raises:
        WeightsError: If the model is one that transformers does not have, or a name is unknown
            or missing; the message names it.
    """
    _check_transformers_has(state_dict)
    thirds = split_thirds(state_dict, TRANSFORMERS)
    mapping = map_keys(MMENTITY, thirds, 'mmentity', TRANSFORMERS)
    theirs = {
        # of any precision here, float32 there
        name: value.float() if value.is_floating_point() else value
        for name, value in mapping.state_dict.items()
        # transformers makes it anew, and so do files of its version 5 lack it
        if not name.endswith('relative_position_index')
    }
    theirs['criterion.empty_weight'] = _class_weight(theirs['class_predictor.bias'])
    # a norm that it has and does not use
    width = theirs['model.pixel_level_module.encoder.hidden_states_norms.stage4.bias']
    unused = 'model.pixel_level_module.encoder.swin.layernorm'
    theirs.update({f'{unused}.weight': torch.ones_like(width)})
    theirs.update({f'{unused}.bias': torch.zeros_like(width)})
    return mapping._replace(state_dict=theirs)


def _check_transformers_has(state_dict: Mapping[str, Tensor]) -> None:
    if any(name.startswith('panoptic_head.association.') for name in state_dict):
        raise WeightsError(
            'transformers has no CropFormer: its Mask2Former sees one view of an image, and has '
            'neither the association of queries nor the cross-view pass; use a Mask2Former'
        )
    if _backbone_type(state_dict) != 'swin' or not any('.w_msa.' in name for name in state_dict):
        reason = (
            'transformers has no HorNet'
            if _backbone_type(state_dict) == 'hornet'
            else 'these weights have another backbone'
        )
        raise WeightsError(
            f'{reason}: a Mask2Former with a Swin is what can be written for transformers'
        )


def _class_weight(class_bias: Tensor) -> Tensor:
    """Weights of the classes in the loss, the last of which is no object."""
    class_weight = torch.ones(len(class_bias))
    class_weight[-1] = NO_OBJECT_WEIGHT
    return class_weight


def _map_official(state_dict: Mapping[str, Tensor]) -> Weights:
    return map_keys(OFFICIAL, state_dict, 'detectron2', MODELS[_backbone_type(state_dict)])


def _map_backbone(state_dict: Mapping[str, Tensor]) -> Weights:
    rules = BACKBONES[_backbone_type(state_dict)]
    if _is_mmpretrain(state_dict):
        # its names are mmentity's; the tables say whether they are known and complete
        known = map_keys(BACKBONE, state_dict, 'mmentity', rules)
        kept = {name: state_dict[name] for name in known.mapped}
        kept.update(relative_position_indices(kept))
        return known._replace(state_dict=kept, mapped={name: name for name in known.mapped})
    prefix = '' if any(name.startswith('backbone.') for name in state_dict) else 'backbone.'
    prefixed = {f'{prefix}{name}': value for name, value in state_dict.items()}
    weights = map_keys(BACKBONE, prefixed, 'detectron2', rules)
    return weights._replace(
        mapped={name[len(prefix) :]: other for name, other in weights.mapped.items()},
        dropped={name[len(prefix) :]: reason for name, reason in weights.dropped.items()},
    )


def _is_mmpretrain(names: Collection[str]) -> bool:
    """Whether these are mmpretrain's names of a Swin or HorNet."""
    return any(map(_BACKBONE_OF_MMPRETRAIN.match, names))


def _backbone_type(state_dict: Mapping[str, Tensor]) -> str:
    """Tell the two backbones apart by their names in any of the projects."""
    return 'hornet' if any('.gnconv.' in name for name in state_dict) else 'swin'
