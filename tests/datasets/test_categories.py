import numpy as np
import pytest

from mmentity.datasets.categories import (
    entity_categories,
    instance_categories,
    metainfo_of,
    panoptic_categories,
    semantic_categories,
)

TASKS = [(instance_categories, 206), (panoptic_categories, 350), (semantic_categories, 150)]


@pytest.mark.parametrize(('categories', 'count'), TASKS)
def test_names_and_ids_are_distinct_and_clean(categories, count):
    table = categories()
    assert len({c.id for c in table}) == len({c.name for c in table}) == len(table) == count
    assert all(c.name == c.name.strip() for c in table)


def test_a_category_has_the_same_name_in_every_task():
    names = {}
    for categories, _ in TASKS:
        for category in categories():
            if category.entity_id is not None:
                assert names.setdefault(category.entity_id, category.name) == category.name
    assert names[100] == 'pipe (building_structure)'
    assert names[277] == 'pipe (clean_tool)'
    assert names[1] == 'man'


def test_panoptic_labels_are_things_first():
    things = [c.is_thing for c in panoptic_categories()]
    assert things == [True] * 279 + [False] * 71
    ids = [c.id for c in panoptic_categories()]
    assert ids[:279] == sorted(ids[:279])
    assert ids[279:] == sorted(ids[279:])


def test_instances_are_things_of_the_entity_table():
    known = {category['id'] for category in entity_categories()}
    assert all(c.is_thing and c.id in known for c in instance_categories())


def test_semantic_ids_are_the_values_of_the_maps():
    assert [c.id for c in semantic_categories()] == list(range(150))
    unknown = [c.name for c in semantic_categories() if c.entity_id is None]
    assert unknown == ['porch']


@pytest.mark.parametrize(('categories', 'count'), TASKS)
def test_neighbours_in_the_palette_differ(categories, count):
    palette = np.array(metainfo_of(categories())['palette'], dtype=float)
    assert palette.shape == (count, 3)
    for step in (1, 2):
        assert np.linalg.norm(palette[step:] - palette[:-step], axis=1).min() > 100
