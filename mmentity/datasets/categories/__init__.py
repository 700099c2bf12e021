"""EntitySeg's category tables.

Names repeat and some begin with a space: ids are the only key.
"""

import csv
from functools import cache
from pathlib import Path


@cache
def _rows(table: str) -> tuple:
    with (Path(__file__).parent / f'{table}.csv').open(newline='', encoding='utf-8') as file:
        return tuple(csv.DictReader(file))


def entity_categories() -> list:
    """Categories of the entity annotations, as their json lists them.

    Returns:
        644 dicts of ``id`` (int), ``name`` and ``supercategory``.
    """
    return [
        {'id': int(row['id']), 'name': row['name'], 'supercategory': row['supercategory']}
        for row in _rows('entity')
    ]
