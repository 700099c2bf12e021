"""Joining of maps against hand-drawn ones and against brute force."""

import numpy as np
import pytest

from mmentity.apis.tiles.stitching import Links, Parts, join_parts, same_entities


def test_pairs_of_a_drawn_strip():
    one = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 0], [0, 0, 3, 0]])
    other = np.array([[7, 7, 7, 5], [7, 7, 5, 5], [0, 0, 2, 2], [0, 0, 2, 2]])
    # 1 and 7 share 4 of 5, 2 and 5 three of 4, 3 and 2 two of 6
    assert same_entities(one, other, 0.5).pairs.tolist() == [[1, 7], [2, 5]]
    assert same_entities(one, other, 0.78).pairs.tolist() == [[1, 7]]
    assert same_entities(one, other, 0.3).pairs.tolist() == [[1, 7], [2, 5], [3, 2]]
    assert same_entities(one, np.zeros_like(one), 0.5).pairs.tolist() == []


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('iou_thr', [0.2, 0.5, 0.9])
def test_pairs_equal_brute_force(seed, iou_thr):
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 5, (3, 2)).repeat(4, 0).repeat(4, 1)
    other = np.where(rng.random(one.shape) < 0.2, rng.integers(0, 5, one.shape), one)
    expected = [
        [a, b]
        for a in range(1, one.max() + 1)
        for b in range(1, other.max() + 1)
        if ((one == a) & (other == b)).any()
        and ((one == a) & (other == b)).sum() >= iou_thr * ((one == a) | (other == b)).sum()
    ]
    assert same_entities(one, other, iou_thr).pairs.tolist() == expected


def test_a_chain_of_parts_is_one_entity():
    parts = Parts(
        np.array([0.9, 0.5, 0.7, 0.4, 0.8]),
        np.array([0, 1, 2, 3, 4]),
        np.array([10, 30, 60, 0, 5]),
        np.array([[0, 0, 5, 2], [5, 0, 20, 2], [20, 0, 50, 3], [0, 0, 0, 0], [1, 1, 2, 6]]),
        np.arange(5),
    )
    joined = join_parts(parts, Links(np.array([[1, 2], [0, 1]]), np.array([0.6, 0.9])))
    # part 3 has no pixel of its own and belongs to nobody
    assert joined.entity_of_part.tolist() == [0, 0, 0, -1, 1]
    assert joined.scores.tolist() == pytest.approx([(9 + 15 + 42) / 100, 0.8])
    assert joined.labels.tolist() == [2, 4]
    assert joined.areas.tolist() == [100, 5]
    assert joined.boxes_xyxy_px.tolist() == [[0, 0, 50, 3], [1, 1, 2, 6]]


def test_without_parts_there_are_no_entities():
    nothing = Parts(
        np.zeros(0), np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4), int), np.zeros(0, int)
    )
    joined = join_parts(nothing, Links(np.zeros((0, 2), int), np.zeros(0)))
    assert [len(column) for column in joined] == [0] * 5


@pytest.mark.parametrize('seed', range(5))
def test_groups_equal_brute_force(seed):
    rng = np.random.default_rng(seed)
    number = 30
    links = rng.integers(0, number, (20, 2))
    parts = Parts(
        rng.random(number),
        np.zeros(number, int),
        rng.integers(1, 9, number),
        np.tile([0, 0, 1, 1], (number, 1)),
        np.arange(number),
    )
    group = list(range(number))
    for a, b in links.tolist():
        group = [group[a] if value == group[b] else value for value in group]
    entities = join_parts(parts, Links(links, rng.random(20))).entity_of_part
    assert np.array_equal(
        entities[:, None] == entities[None], np.equal.outer(np.array(group), np.array(group))
    )
    # numbered by first parts
    firsts = np.unique(entities, return_index=True)[1]
    assert np.array_equal(firsts, np.sort(firsts))


def test_parts_of_one_tile_stay_apart_and_the_surest_link_wins():
    # tile 0 sees two things, tile 1 one thing that reaches into both
    parts = Parts(
        np.full(3, 0.5),
        np.zeros(3, int),
        np.array([5, 6, 7]),
        np.tile([0, 0, 1, 1], (3, 1)),
        np.array([0, 0, 1]),
    )
    pairs = np.array([[0, 2], [1, 2]])
    assert join_parts(parts, Links(pairs, np.array([0.6, 0.7]))).areas.tolist() == [5, 13]
    assert join_parts(parts, Links(pairs, np.array([0.7, 0.6]))).areas.tolist() == [12, 6]
