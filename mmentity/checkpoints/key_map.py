"""Names of one project in those of another, by tables of rules."""

import re
from collections.abc import Mapping
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.checkpoints.key_tables import Rule
from mmentity.checkpoints.read import WeightsError
from mmentity.datasets.categories import panoptic_categories


class Translation(NamedTuple):
    """Weights in new names, and what became of every old one.

    Attributes:
        state_dict: New names to tensors; shared with the old where values do
            not change.
        mapped: Old names to new ones.
        dropped: Old names that have no place, to the reason.
    """

    state_dict: dict
    mapped: dict
    dropped: dict


class Language(NamedTuple):
    """One side of the tables.

    Attributes:
        name: What to call names of this side in messages.
        is_ours: Whether it is mmentity's side.
        dropped: Templates of names without a counterpart, to the reason.
        required: Families of rules that must appear.
    """

    name: str
    is_ours: bool
    dropped: dict
    required: tuple


def translate(state_dict: Mapping[str, Tensor], rules: list, language: Language) -> Translation:
    """Translate every name into the other side of the tables.

    Args:
        state_dict: Names of ``language`` to tensors.
        rules: Table.
        language: Side of the table that the names are on.

    Raises:
        WeightsError: If a name is unknown, or one that must be there is missing;
            the sentence names it.
    """
    matcher = _Matcher(rules, language.is_ours)
    translation = Translation({}, {}, {})
    seen, unknown = {}, []
    for name, value in state_dict.items():
        match = matcher.find(name)
        reason = _reason(name, language.dropped)
        if reason is not None:
            translation.dropped[name] = reason
        elif match is None:
            unknown.append(name)
        else:
            rule, leaf, numbers = match
            other = _fill(_template(rule, leaf, not language.is_ours), numbers)
            translation.state_dict[other] = _change(value, rule.change, language.is_ours)
            translation.mapped[name] = other
            seen.setdefault(rule.family, set()).add(tuple(numbers.items()))
    if unknown:
        raise WeightsError(
            f'{len(unknown)} names are unknown to {language.name}, the first is '
            f'{unknown[0]!r}; these weights belong to another model'
        )
    missing = _missing(rules, seen, translation.mapped, language)
    if missing:
        raise WeightsError(
            f'{len(missing)} names are missing, the first is {missing[0]!r}; the file is incomplete'
        )
    return translation


class _Matcher:
    """Find the rule of a name on one side."""

    def __init__(self, rules: list, ours: bool) -> None:
        self.patterns = [
            (re.compile(_pattern(_template(rule, index, ours))), rule, index)
            for rule in rules
            for index in range(len(rule.leaves))
        ]

    def find(self, name: str) -> Optional[tuple]:
        """Return rule, index of the leaf and the numbers in the name, or None."""
        for pattern, rule, leaf in self.patterns:
            match = pattern.fullmatch(name)
            if match:
                return rule, leaf, match.groupdict()
        return None


def _template(rule: Rule, leaf: int, ours: bool) -> str:
    """Template of a whole name of one side."""
    if ours:
        return f'{rule.ours}.{(rule.our_leaves or rule.leaves)[leaf]}'
    return f'{rule.official}.{rule.leaves[leaf]}'


def _pattern(template: str) -> str:
    return re.sub(r'\\{(\w)\\}', r'(?P<\1>\\d+)', re.escape(template))


def _fill(template: str, numbers: Mapping[str, str]) -> str:
    for letter, number in numbers.items():
        template = template.replace(f'{{{letter}}}', number)
    return template


def _reason(name: str, dropped: Mapping[str, str]) -> Optional[str]:
    for template, reason in dropped.items():
        if re.fullmatch(_pattern(template), name):
            return reason
    return None


def _missing(rules: list, seen: dict, mapped: Mapping[str, str], language: Language) -> list:
    """Names of modules of which only a part is there."""
    missing = []
    for rule in rules:
        default = {()} if rule.family in language.required else ()
        for numbers in seen.get(rule.family, default):
            missing += [
                _fill(_template(rule, leaf, language.is_ours), dict(numbers))
                for leaf in range(len(rule.leaves))
            ]
    return [name for name in missing if name not in mapped]


def _change(value: Tensor, change: Optional[str], from_ours: bool) -> Tensor:
    return value if change is None else CHANGES[change][from_ours](value)


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


# Change of values: into mmentity's order, and back.
CHANGES = {
    'swin merging': (merge_patches_like_unfold, merge_patches_like_official),
    'class order': (things_before_stuff, classes_by_id),
}


def relative_position_indices(state_dict: Mapping[str, Tensor]) -> dict:
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
