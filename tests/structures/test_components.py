"""Connected parts of entities."""

import numpy as np
import pytest
from scipy import ndimage

from mmentity.structures import EntityMap
from mmentity.structures.components import split_components


def parts_of(rows, **options):
    """Parts of a hand-drawn map, as rows of digits, and their owners."""
    ids = np.array([[int(digit) for digit in row] for row in rows])
    parts, owners = split_components(EntityMap(ids), **options)
    return [''.join(map(str, row)) for row in parts.ids[0].tolist()], owners.tolist()


def test_parts_come_largest_first():
    assert parts_of(['1011', '1010', '0000', '2211']) == (
        ['2011', '2010', '0000', '4433'],
        [1] * 3 + [2],
    )


def test_a_corner_connects():
    assert parts_of(['100', '010', '001']) == (['100', '010', '001'], [1])


def test_whole_entities_stay_as_they_are():
    rows = ['1122', '1322', '3322']
    assert parts_of(rows) == (rows, [1, 2, 3])


@pytest.mark.parametrize(
    ('gap_px', 'min_area', 'expected'),
    [
        (1.9, 0, '203000111'),
        (2, 0, '202000111'),
        # in a chain
        (4, 0, '101000111'),
        # what is too small joins nothing, and is a part still
        (4, 2, '203000111'),
    ],
)
def test_near_parts_stay_together(gap_px, min_area, expected):
    rows, _ = parts_of(['101000111'], gap_px=gap_px, min_area=min_area)
    assert rows == [expected]


def test_entities_without_a_pixel_have_no_part():
    parts, owners = split_components(EntityMap(np.array([[0, 2]]), 3))
    assert (parts.num_entities, owners.tolist()) == (1, [2])
    for gap_px in (0, 3):
        parts, owners = split_components(EntityMap(np.zeros((2, 3), int)), gap_px)
        assert (parts.num_entities, owners.shape) == (0, (0,))


def test_lines_do_not_touch_around_the_border():
    assert parts_of(['001', '100', '001']) == (['001', '200', '003'], [1, 1, 1])


def test_maps_that_are_cut_out():
    entities = EntityMap(np.array([[1, 1, 0], [1, 0, 1], [1, 0, 1]]))
    parts, _ = split_components(entities.crop((1, 0, 3, 3)).flip())
    assert parts.ids[0].tolist() == [[0, 1], [1, 0], [1, 0]]


def test_overlapping_entities_stay_in_their_layers():
    masks = np.zeros((2, 1, 6), bool)
    masks[0, 0, [0, 1, 4, 5]] = masks[1, 0, [1, 2, 3, 4]] = True
    parts, owners = split_components(EntityMap.from_masks(masks))
    assert owners.tolist() == [1, 1, 2]
    assert parts.masks()[:, 0].astype(int).tolist() == [
        [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 1, 1, 1, 1, 0]
    ]  # fmt: skip


@pytest.mark.parametrize('seed', range(3))
def test_parts_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    entities = EntityMap(rng.integers(0, 4, (23, 31)))
    parts, owners = split_components(entities)
    masks = parts.masks()
    for k in range(1, 4):
        labels, number = ndimage.label(entities.ids[0] == k, np.ones((3, 3)))
        expected = {(labels == label).tobytes() for label in range(1, number + 1)}
        own = masks[owners == k]
        assert {mask.tobytes() for mask in own} == expected
        areas = own.sum(axis=(1, 2))
        assert (np.diff(areas) <= 0).all()


@pytest.mark.parametrize('gap_px', [1.5, 3, 4.2])
def test_groups_are_those_of_all_distances(gap_px):
    ids = (np.random.default_rng(1).random((24, 30)) < 0.06).astype(int)
    parts, _ = split_components(EntityMap(ids), gap_px)
    points = np.argwhere(ids)
    reached = np.linalg.norm(points[:, None] - points[None], axis=-1) <= gap_px
    for _ in range(6):
        # in twice as many steps
        reached = reached @ reached
    together = parts.ids[0][tuple(points.T)]
    assert len(np.unique(together)) > 1
    assert np.array_equal(together[:, None] == together[None], reached)
