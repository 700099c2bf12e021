"""Key mapping between mmentity and other projects, by tables of rules."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.key_tables import RENAMED, Rule, Side
from mmentity.datasets.categories import panoptic_categories


class Weights(NamedTuple):
    """Weights under new names, where they are from, and what became of each old name."""

    source: str
    state_dict: dict[str, Tensor]
    mapped: dict[str, str]
    dropped: dict[str, str]


def map_keys(
    source: str, state_dict: Mapping[str, Tensor], side: Side, rules: list[Rule]
) -> Weights:
    """Map names from a side of a table to the other, with the constants that both sides keep.

    Values that do not change are shared.

    Raises:
        WeightsError: If a name is unknown, or one that must be there is missing;
            the message names it.
    """
    other_side = next(each for rule in rules for each in rule.names if each != side)
    weights = Weights(source, {}, {}, {})
    table = [(_pattern(rule.names[side]), rule) for rule in rules if side in rule.names]
    kept = [rule for rule in rules if len(rule.names) == 2]
    # numbers in the names of each family; what has none in its name is in every model
    seen: dict[str, list[dict[str, str]]] = {
        rule.family: [{}] for rule in kept if '{' not in rule.names[side]
    }
    present, unknown = set(), []
    for name, value in state_dict.items():
        today = RENAMED.get(name, name)
        matches = ((rule, pattern.fullmatch(today)) for pattern, rule in table)
        found = next(((rule, match.groupdict()) for rule, match in matches if match), None)
        if found is None:
            unknown.append(name)
            continue
        rule, numbers = found
        if other_side not in rule.names:
            weights.dropped[name] = rule.family
            continue
        new = weights.mapped[name] = rule.names[other_side].format(**numbers)
        change = CHANGES.get(rule.family, {}).get(side)
        weights.state_dict[new] = change(value) if change else value
        present.add(today)
        if numbers not in seen.setdefault(rule.family, []):
            seen[rule.family].append(numbers)
    if unknown:
        raise WeightsError(
            f'{len(unknown)} names are unknown, the first is {unknown[0]!r}; these weights belong '
            'to another model'
        )
    needed = (
        rule.names[side].format(**numbers) for rule in kept for numbers in seen.get(rule.family, ())
    )
    missing = [name for name in needed if name not in present]
    if missing:
        raise WeightsError(
            f'{len(missing)} names are missing, the first is {missing[0]!r}; the file is incomplete'
        )
    weights.state_dict.update(relative_position_indices(weights.state_dict))
    return weights


def split_thirds(state_dict: Mapping[str, Tensor], rules: list[Rule]) -> dict[str, Tensor]:
    """Split the weights of queries, keys and values, of which a table has the thirds by name.

    Returns:
        The weights in their order, ``name[0]``, ``name[1]`` and ``name[2]`` in the place of
        such a one; copies, as files of safetensors do not share memory.
    """
    wholes = [_pattern(name[:-3]) for name in _names_of_mmentity(rules) if name.endswith('[0]')]
    split = {}
    for name, value in state_dict.items():
        if any(whole.fullmatch(name) for whole in wholes):
            thirds = value.chunk(3)
            split.update({f'{name}[{k}]': third.clone() for k, third in enumerate(thirds)})
        else:
            split[name] = value
    return split


def join_thirds(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`split_thirds`."""
    joined: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        if name.endswith('[0]'):
            thirds = [state_dict[f'{name[:-3]}[{k}]'] for k in range(3)]
            joined[name[:-3]] = torch.cat(thirds)
        elif not name.endswith(('[1]', '[2]')):
            joined[name] = value
    return joined


def _names_of_mmentity(rules: list[Rule]) -> list[str]:
    return [rule.names['mmentity'] for rule in rules if 'mmentity' in rule.names]


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r'\\{(\w)\\}', r'(?P<\1>\\d+)', re.escape(template)))


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
    """Undo :func:`merge_patches_like_unfold`, ``(..., 4 * C)``."""
    neighbours = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return neighbours[..., [0, 2, 1, 3], :].flatten(-2).contiguous()


def things_before_stuff(value: Tensor) -> Tensor:
    """Reorder the classes of a panoptic head: things first, as OpenMMLab's heads ask for.

    The official release numbers its 350 panoptic classes by category id, things
    and stuff mixed. Heads of other tasks stay as they are.

    Args:
        value: ``(classes + 1, ...)``; the last row is for no object.
    """
    return value[_panoptic_order()] if len(value) == len(_panoptic_order()) else value


def classes_by_id(value: Tensor) -> Tensor:
    """Undo :func:`things_before_stuff`, ``(classes + 1, ...)``."""
    order = torch.tensor(_panoptic_order())
    return value[order.argsort()] if len(value) == len(order) else value


def _panoptic_order() -> list[int]:
    """Official row of each class of mmentity's panoptic head, that of no object included."""
    categories = panoptic_categories()
    row_of = {category.id: row for row, category in enumerate(sorted(categories))}
    return [*(row_of[category.id] for category in categories), len(categories)]


# Changes of the values of a family, by the side that they are on before. The two projects
# beside mmentity merge patches in one order.
CHANGES: dict[str, dict[Side, Callable[[Tensor], Tensor]]] = {
    'swin merging': {
        'detectron2': merge_patches_like_unfold,
        'transformers': merge_patches_like_unfold,
        'mmentity': merge_patches_like_official,
    },
    'classes': {'detectron2': things_before_stuff, 'mmentity': classes_by_id},
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
