"""Backbones of ImageNet classifiers in mmentity's names."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmentity.checkpoints.key_map import (
    Language,
    Translation,
    relative_position_indices,
    translate,
)
from mmentity.checkpoints.key_tables import (
    DROPPED_OF_IMAGENET,
    HORNET,
    OUR_DROPPED_OF_IMAGENET,
    SWIN,
)

REQUIRED = ('swin stem',)
OFFICIAL = Language('Swin and HorNet', False, DROPPED_OF_IMAGENET, REQUIRED)
OURS = Language("mmpretrain's Swin and HorNet", True, OUR_DROPPED_OF_IMAGENET, REQUIRED)


def convert_backbone(state_dict: Mapping[str, Tensor]) -> dict:
    """Convert a Swin or HorNet trained on ImageNet.

    Reads the names of Microsoft's Swin, of HorNet's authors, and of mmpretrain;
    their classifier and its last norm are left out, as the segmentation model
    learns a norm for each of its four feature maps.

    Args:
        state_dict: Names to tensors.

    Returns:
        Names ``backbone...`` to tensors, a part of the weights of a model.

    Raises:
        WeightsError: If a name is unknown or missing; the sentence names it.

    Examples:
        >>> weights = torch.load('swin_tiny_patch4_window7_224.pth', weights_only=True)['model']
        >>> model.load_state_dict(convert_backbone(weights), strict=False)
    """
    return translate_backbone(state_dict).state_dict


def translate_backbone(state_dict: Mapping[str, Tensor]) -> Translation:
    """As :func:`convert_backbone`, with what became of every name."""
    if is_mmpretrain_backbone(state_dict):
        return _check_mmpretrain(state_dict)
    prefix = '' if any(name.startswith('backbone.') for name in state_dict) else 'backbone.'
    swin = any(f'{prefix}{name}'.startswith('backbone.layers.') for name in state_dict)
    found = translate(
        {f'{prefix}{name}': value for name, value in state_dict.items()},
        SWIN if swin else HORNET,
        OFFICIAL,
    )
    found.state_dict.update(relative_position_indices(found.state_dict))
    return Translation(
        found.state_dict,
        {name[len(prefix) :]: ours for name, ours in found.mapped.items()},
        {name[len(prefix) :]: reason for name, reason in found.dropped.items()},
    )


def resize_windows(state_dict: Mapping[str, Tensor], expected: Mapping[str, tuple]) -> dict:
    """Resize the relative positions of a Swin to the windows of another one.

    Bicubic, as the authors of Swin do to go from window 7 to 12; mmpretrain's own
    way needs a function that SciPy no longer has.

    Args:
        state_dict: mmentity's names to tensors.
        expected: Names to shapes that a model expects.

    Returns:
        Tables ``((2 * window - 1) ** 2, heads)`` of other windows and their
        indices, at the expected size.
    """
    tables = {}
    for name, table in state_dict.items():
        shape = expected.get(name, tuple(table.shape))
        if not name.endswith('relative_position_bias_table') or tuple(table.shape) == shape:
            continue
        if table.shape[1:] == shape[1:]:
            old, new = (int(length**0.5) for length in (len(table), shape[0]))
            grid = table.float().T.unflatten(1, (old, old))[None]
            grid = F.interpolate(grid, (new, new), mode='bicubic', align_corners=False)
            tables[name] = grid[0].flatten(1).T.to(table.dtype)
    return {**tables, **relative_position_indices(tables)}


def is_mmpretrain_backbone(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether these are mmpretrain's names of a Swin or HorNet, and no more."""
    return any(
        name.startswith('backbone.') and ('.attn.w_msa.' in name or '.gnconv.projs.' in name)
        for name in state_dict
    )


def is_backbone(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether these are names of a Swin or HorNet of any of the projects."""
    return is_mmpretrain_backbone(state_dict) or any(
        '.attn.relative_position_bias_table' in name or '.gnconv.pws.' in name
        for name in state_dict
    )


def _check_mmpretrain(state_dict: Mapping[str, Tensor]) -> Translation:
    """Keep mmpretrain's names, which are mmentity's, once all of them are known."""
    swin = any('.attn.w_msa.' in name for name in state_dict)
    found = translate(state_dict, SWIN if swin else HORNET, OURS)
    kept = {name: state_dict[name] for name in found.mapped}
    kept.update(relative_position_indices(kept))
    return Translation(kept, {name: name for name in found.mapped}, found.dropped)
