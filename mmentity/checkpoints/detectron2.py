"""Weights of the official release (Detectron2) in mmentity's names, and back."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mmentity.checkpoints.key_map import (
    Language,
    Translation,
    relative_position_indices,
    translate,
)
from mmentity.checkpoints.key_tables import (
    ASSOCIATION,
    DROPPED,
    HEAD,
    HORNET,
    OUR_DROPPED,
    RENAMED,
    SWIN,
)

OFFICIAL = Language('CropFormer and Mask2Former', False, DROPPED, ('head',))
OURS = Language("mmentity's CropFormer and Mask2Former", True, OUR_DROPPED, ('head',))
NO_OBJECT_WEIGHT = 0.1


def convert_detectron2(state_dict: Mapping[str, Tensor]) -> dict:
    """Convert the weights of an official CropFormer or Mask2Former model.

    Args:
        state_dict: Official names to tensors.

    Returns:
        mmentity's names to tensors; loads strictly into the model of the same
        architecture. Values are shared where they do not change.

    Raises:
        WeightsError: If a name is unknown, or one that must be there is missing;
            the sentence names it.

    Examples:
        >>> weights = torch.load('official.pth', weights_only=True)['model']
        >>> model.load_state_dict(convert_detectron2(weights))
    """
    return translate_detectron2(state_dict).state_dict


def translate_detectron2(state_dict: Mapping[str, Tensor]) -> Translation:
    """As :func:`convert_detectron2`, with what became of every name."""
    swin = any(name.startswith('backbone.layers.') for name in state_dict)
    today = {RENAMED.get(name, name): name for name in state_dict}
    translation = translate(
        {new: state_dict[name] for new, name in today.items()}, _rules(swin), OFFICIAL
    )
    for new, name in today.items():
        if new != name:
            translation.mapped[name] = translation.mapped.pop(new)
    translation.state_dict.update(relative_position_indices(translation.state_dict))
    return translation


def mmentity_to_detectron2(state_dict: Mapping[str, Tensor]) -> dict:
    """Convert weights of mmentity for the official code.

    The exact inverse of :func:`convert_detectron2`, with the constants that the
    official modules keep beside their weights.

    Args:
        state_dict: mmentity's names to tensors.

    Returns:
        Official names to tensors; save them as ``{'model': ...}`` for
        Detectron2.

    Raises:
        WeightsError: If a name is unknown, or one that must be there is missing;
            the sentence names it.

    Examples:
        >>> weights = torch.load('work_dirs/.../iter_206250.pth')['state_dict']
        >>> torch.save({'model': mmentity_to_detectron2(weights)}, 'official.pth')
    """
    return translate_mmentity(state_dict).state_dict


def translate_mmentity(state_dict: Mapping[str, Tensor]) -> Translation:
    """As :func:`mmentity_to_detectron2`, with what became of every name."""
    swin = any('.attn.w_msa.' in name for name in state_dict)
    translation = translate(state_dict, _rules(swin), OURS)
    official = translation.state_dict
    official.update(relative_position_indices(official))
    class_weight = torch.ones(len(official['sem_seg_head.predictor.class_embed.bias']))
    class_weight[-1] = NO_OBJECT_WEIGHT
    two_passes = any('.make_3d.' in name for name in official)
    for criterion in ('criterion_2d', 'criterion_3d') if two_passes else ('criterion',):
        official[f'{criterion}.empty_weight'] = class_weight.clone()
    return translation


def _rules(swin: bool) -> list:
    return (SWIN if swin else HORNET) + HEAD + ASSOCIATION
