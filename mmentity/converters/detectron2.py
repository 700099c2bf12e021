"""Weights of the official release (Detectron2) in mmentity's names."""

import re
from collections.abc import Mapping
from typing import Optional

import torch
from torch import Tensor

from mmentity.converters.name_tables import ASSOCIATION, DROPPED, HEAD, HORNET, SWIN


def convert_detectron2(state_dict: Mapping[str, Tensor]) -> dict:
    """Convert the weights of an official CropFormer or Mask2Former model.

    Args:
        state_dict: Official names to tensors.

    Returns:
        mmentity's names to tensors; loads strictly into the model of the same
        architecture. Values are shared where they do not change.

    Raises:
        KeyError: If a name is unknown, or one that must be there is missing;
            the sentence names it.

    Examples:
        >>> weights = torch.load('official.pth', weights_only=True)['model']
        >>> model.load_state_dict(convert_detectron2(weights))
    """
    swin = any(name.startswith('backbone.layers.') for name in state_dict)
    rules = (SWIN if swin else HORNET) + HEAD + ASSOCIATION
    matcher = _Matcher(rules)
    converted, seen, unknown = {}, {}, []
    for name, value in state_dict.items():
        match = matcher.find(name)
        if match is not None:
            rule, leaf, numbers = match
            ours = (rule.our_leaves or rule.leaves)[leaf]
            converted[f'{_fill(rule.ours, numbers)}.{ours}'] = _change(value, rule.change)
            seen.setdefault(rule.family, set()).add(tuple(numbers.items()))
        elif not any(re.fullmatch(_pattern(drop), name) for drop in DROPPED):
            unknown.append(name)
    if unknown:
        raise KeyError(
            f'{len(unknown)} names are unknown to CropFormer and Mask2Former, the first is '
            f'{unknown[0]!r}; these weights belong to another model'
        )
    missing = _missing(rules, seen, state_dict)
    if missing:
        raise KeyError(
            f'{len(missing)} names are missing, the first is {missing[0]!r}; the file is incomplete'
        )
    if swin:
        converted.update(_relative_position_indices(converted))
    return converted


class _Matcher:
    """Find the rule of an official name."""

    def __init__(self, rules: list) -> None:
        self.patterns = [
            (re.compile(_pattern(f'{rule.official}.{leaf}')), rule, index)
            for rule in rules
            for index, leaf in enumerate(rule.leaves)
        ]

    def find(self, name: str) -> Optional[tuple]:
        """Return rule, index of the leaf and the numbers in the name, or None."""
        for pattern, rule, leaf in self.patterns:
            match = pattern.fullmatch(name)
            if match:
                return rule, leaf, match.groupdict()
        return None


def _pattern(template: str) -> str:
    return re.sub(r'\\{(\w)\\}', r'(?P<\1>\\d+)', re.escape(template))


def _fill(template: str, numbers: Mapping[str, str]) -> str:
    for letter, number in numbers.items():
        template = template.replace(f'{{{letter}}}', number)
    return template


def _missing(rules: list, seen: dict, state_dict: Mapping[str, Tensor]) -> list:
    """Names of modules of which only a part is there."""
    required = {'head': {()}}
    missing = []
    for rule in rules:
        for numbers in seen.get(rule.family, required.get(rule.family, ())):
            module = _fill(rule.official, dict(numbers))
            missing += [f'{module}.{leaf}' for leaf in rule.leaves]
    return [name for name in missing if name not in state_dict]


def _change(value: Tensor, change: Optional[str]) -> Tensor:
    return value if change is None else CHANGES[change](value)


def _merge_patches_like_unfold(value: Tensor) -> Tensor:
    """Reorder the four neighbours that a Swin stage merges.

    The official model concatenates (row, column) = (0,0), (1,0), (0,1), (1,1),
    each with C channels; OpenMMLab unfolds, so that the channel comes first and
    the neighbours follow as (0,0), (0,1), (1,0), (1,1).

    Args:
        value: ``(..., 4 * C)``.
    """
    neighbours = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return neighbours.transpose(-1, -2).flatten(-2).contiguous()


CHANGES = {'swin merging': _merge_patches_like_unfold}


def _relative_position_indices(converted: Mapping[str, Tensor]) -> dict:
    """Index of the bias table for each pair of tokens of a window.

    A constant of the window size; mmpretrain keeps it in the state dict.
    """
    indices = {}
    for name, table in converted.items():
        if not name.endswith('relative_position_bias_table'):
            continue
        window = (int(len(table) ** 0.5) + 1) // 2
        row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
        token = (row * (2 * window - 1) + column).flatten()
        index = token[:, None] + token.flip(0)[None]
        indices[name.replace('bias_table', 'index')] = index
    return indices
