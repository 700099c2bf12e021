"""Key mapping between mmentity and the official release, by tables of rules."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.checkpoints.key_tables import RENAMED, Rule, Side
from mmentity.checkpoints.read import WeightsError
from mmentity.datasets.categories import panoptic_categories


class KeyMapping(NamedTuple):
    """Weights under the names of the other side, and what became of every name.

    Attributes:
        state_dict: New names to tensors; shared with the old where values do
            not change.
        mapped: Old names to new ones.
        dropped: Old names without a counterpart, to the reason.
    """

    state_dict: dict[str, Tensor]
    mapped: dict[str, str]
    dropped: dict[str, str]


class _Match(NamedTuple):
    """A name found in a table: its rule, the name on the other side, the numbers in both."""

    rule: Rule
    other: str
    numbers: tuple[tuple[str, str], ...]


def map_keys(
    state_dict: Mapping[str, Tensor],
    side: Side,
    rules: list[Rule],
    dropped: Mapping[Side, Mapping[str, str]],
) -> KeyMapping:
    """Map every name to the other side of a table, with the constants that both sides keep.

    Args:
        state_dict: Names to tensors.
        side: Side of the table that the names are on.
        rules: Table.
        dropped: For each side, templates of names without a counterpart, to the reason.

    Raises:
        WeightsError: If a name is unknown, or one that must be there is missing;
            the message names it.
    """
    find = _finder(rules, side)
    reasons = {_pattern(template): reason for template, reason in dropped[side].items()}
    mapping = KeyMapping({}, {}, {})
    seen: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    unknown = []
    for name, value in state_dict.items():
        reason = next((r for pattern, r in reasons.items() if pattern.fullmatch(name)), None)
        match = find(RENAMED.get(name, name))
        if reason is not None:
            mapping.dropped[name] = reason
        elif match is None:
            unknown.append(name)
        else:
            change = CHANGES[match.rule.change][side] if match.rule.change else None
            mapping.state_dict[match.other] = change(value) if change else value
            mapping.mapped[name] = match.other
            seen.setdefault(match.rule.family, set()).add(match.numbers)
    if unknown:
        raise WeightsError(
            f'{len(unknown)} names are unknown, the first is {unknown[0]!r}; these weights belong '
            'to another model'
        )
    missing = _missing(rules, side, seen, {RENAMED.get(name, name) for name in mapping.mapped})
    if missing:
        raise WeightsError(
            f'{len(missing)} names are missing, the first is {missing[0]!r}; the file is incomplete'
        )
    mapping.state_dict.update(relative_position_indices(mapping.state_dict))
    return mapping


def _finder(rules: list[Rule], side: Side) -> Callable[[str], Optional[_Match]]:
    """Make a function that finds a name of one side in a table."""
    other_side: Side = 'mmentity' if side == 'detectron2' else 'detectron2'
    entries = [
        (_pattern(template), rule, other)
        for rule in rules
        for template, other in zip(rule.names(side), rule.names(other_side))
    ]

    def find(name: str) -> Optional[_Match]:
        for pattern, rule, other in entries:
            match = pattern.fullmatch(name)
            if match:
                numbers = match.groupdict()
                return _Match(rule, other.format(**numbers), tuple(numbers.items()))
        return None

    return find


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r'\\{(\w)\\}', r'(?P<\1>\\d+)', re.escape(template)))


def _missing(
    rules: list[Rule],
    side: Side,
    seen: Mapping[str, set[tuple[tuple[str, str], ...]]],
    present: set[str],
) -> list[str]:
    """Names of modules of which only a part is there, or of which every model has one."""
    needed = []
    for rule in rules:
        one_each = set() if '{' in rule.detectron2 else {()}
        for numbers in seen.get(rule.family, one_each):
            needed += [template.format(**dict(numbers)) for template in rule.names(side)]
    return [name for name in needed if name not in present]


def merge_patches_like_unfold(value: Tensor) -> Tensor:
    """Reorder the four neighbours that a Swin stage merges.

    The official model concatenates (row, column) = (0,0), (1,0), (0,1), (1,1),
    each with C channels; OpenMMLab unfolds, so that the channel comes first and
    the neighbours follow as (0,0), (0,1), (1,0), (1,1).

    Args:
        value: ``(..., 4 * C)``.
    """
    neighbours = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return neighbours.transpose(-1, -2).flatten(-2).contiguous()


def merge_patches_like_official(value: Tensor) -> Tensor:
    """Undo :func:`merge_patches_like_unfold`.

    Args:
        value: ``(..., 4 * C)``.
    """
    neighbours = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return neighbours[..., [0, 2, 1, 3], :].flatten(-2).contiguous()


def things_before_stuff(value: Tensor) -> Tensor:
    """Reorder the classes of a panoptic head: things first, as OpenMMLab's heads ask for.

    The official release numbers its 350 panoptic classes by category id, things
    and stuff mixed. Heads of other tasks stay as they are.

    Args:
        value: ``(classes + 1, ...)``; the last row is for no object.
    """
    categories = panoptic_categories()
    if len(value) != len(categories) + 1:
        return value
    by_id = {c.id: row for row, c in enumerate(sorted(categories))}
    return value[[*(by_id[c.id] for c in categories), len(categories)]]


def classes_by_id(value: Tensor) -> Tensor:
    """Undo :func:`things_before_stuff`.

    Args:
        value: ``(classes + 1, ...)``.
    """
    categories = panoptic_categories()
    if len(value) != len(categories) + 1:
        return value
    ours = {c.id: row for row, c in enumerate(categories)}
    return value[[*(ours[c.id] for c in sorted(categories)), len(categories)]]


# Changes of values, by the side that they are on before.
CHANGES: dict[str, dict[Side, Callable[[Tensor], Tensor]]] = {
    'swin merging': {
        'detectron2': merge_patches_like_unfold,
        'mmentity': merge_patches_like_official,
    },
    'class order': {'detectron2': things_before_stuff, 'mmentity': classes_by_id},
}


def relative_position_indices(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Index of the bias table for each pair of tokens of a window.

    A constant of the window size, the same in the official release and in
    mmpretrain, which both keep it in the state dict.
    """
    indices = {}
    for name, table in state_dict.items():
        if not name.endswith('relative_position_bias_table'):
            continue
        window = (int(len(table) ** 0.5) + 1) // 2
        row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
        token = (row * (2 * window - 1) + column).flatten()
        index = token[:, None] + token.flip(0)[None]
        indices[name.replace('bias_table', 'index')] = index
    return indices
