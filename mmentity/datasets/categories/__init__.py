"""EntitySeg's category tables.

Names repeat and some begin with a space: ids are the only key. A category is
shown under a name of its own, the same in every task: a name that several
entity categories share is followed by the supercategory.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Optional

from mmentity.structures.palette import entity_colours

# value of semantic maps where no class is
IGNORED = 255


class Category(NamedTuple):
    """One category of a task.

    Attributes:
        id: Id in the annotation files of the task.
        name: Name to show, distinct within every task.
        is_thing: Whether it is countable.
        entity_id: Id in the entity table; None for the one category of the
            semantic task that no entity has.
    """

    id: int
    name: str
    is_thing: bool
    entity_id: Optional[int]


@cache
def _rows(table: str) -> tuple[dict[str, str], ...]:
    with (Path(__file__).parent / f'{table}.csv').open(newline='', encoding='utf-8') as file:
        return tuple(csv.DictReader(file))


@cache
def _entities() -> dict[int, Category]:
    """All entity categories by id."""
    repeats = Counter(row['name'].strip() for row in _rows('entity'))
    categories = {}
    for row in _rows('entity'):
        name = row['name'].strip()
        if repeats[name] > 1:
            name = f'{name} ({row["supercategory"]})'
        category_id = int(row['id'])
        categories[category_id] = Category(category_id, name, row['kind'] == 'thing', category_id)
    return categories


def entity_categories() -> list[dict[str, Any]]:
    """Categories of the entity annotations, as their json lists them.

    Returns:
        644 dicts of ``id`` (int), ``name`` and ``supercategory``.
    """
    return [
        {'id': int(row['id']), 'name': row['name'], 'supercategory': row['supercategory']}
        for row in _rows('entity')
    ]


@cache
def instance_categories() -> tuple[Category, ...]:
    """The 206 thing categories of the instance task, by ascending id."""
    return _of_task('instance')


@cache
def panoptic_categories() -> tuple[Category, ...]:
    """The 350 categories of the panoptic task: 279 things, then 71 stuff, each by id.

    OpenMMLab's heads take the first classes for things. The official release
    numbers its classes by id alone, things and stuff mixed.
    """
    return tuple(sorted(_of_task('panoptic'), key=lambda category: not category.is_thing))


@cache
def semantic_categories() -> tuple[Category, ...]:
    """The 150 categories of the semantic task; ids 0..149 are values of the maps."""
    categories = []
    for row in _rows('semantic'):
        entity = _entities()[int(row['entity_id'])] if row['entity_id'] else None
        name = entity.name if entity else row['name'].strip()
        is_thing = entity.is_thing if entity else False
        categories.append(Category(int(row['id']), name, is_thing, entity.id if entity else None))
    return tuple(categories)


def metainfo_of(categories: Sequence[Category]) -> dict[str, Any]:
    """Metainfo of a dataset whose label k is the k-th category.

    Returns:
        ``classes``, ``thing_classes`` and ``stuff_classes`` (names),
        ``category_ids``, and ``palette`` (RGB 0..255), in which neighbours differ.
    """
    return {
        'classes': tuple(category.name for category in categories),
        'thing_classes': tuple(c.name for c in categories if c.is_thing),
        'stuff_classes': tuple(c.name for c in categories if not c.is_thing),
        'category_ids': tuple(category.id for category in categories),
        'palette': [tuple(colour) for colour in entity_colours(len(categories))[1:].tolist()],
    }


def select_classes(metainfo: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Reduce the metainfo of a task to some of its classes, in the order of ``names``.

    Args:
        metainfo: As :func:`metainfo_of` makes it.
        names: Names of classes, each once.

    Raises:
        ValueError: If a name is not that of a class, or is repeated.
    """
    place_of = {name: place for place, name in enumerate(metainfo['classes'])}
    for name in names:
        if name not in place_of:
            close = ', '.join(map(repr, get_close_matches(name, place_of, 3))) or 'none is close'
            raise ValueError(f'metainfo has the class {name!r}, which the task has not ({close})')
    if len(set(names)) < len(names):
        raise ValueError(f'metainfo repeats classes: {", ".join(names)}')
    return {
        'classes': tuple(names),
        **{
            key: tuple(name for name in names if name in metainfo[key])
            for key in ('thing_classes', 'stuff_classes')
        },
        **{
            key: [metainfo[key][place_of[name]] for name in names]
            for key in ('category_ids', 'palette')
        },
    }


def _of_task(task: str) -> tuple[Category, ...]:
    ids = [int(row['id']) for row in _rows('entity') if task in row['tasks'].split()]
    return tuple(_entities()[category_id] for category_id in sorted(ids))
