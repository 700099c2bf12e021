"""A result, on maps small enough to draw by hand."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmentity.apis.export import OutputOptions
from mmentity.apis.export.numbering import number_entities
from mmentity.structures import EntityMap
from tests.apis.conftest import make_result

MAP = [
    [0, 3, 3, 0],
    [1, 1, 2, 2],
    [1, 1, 2, 2],
    [1, 1, 2, 0],
]


@pytest.fixture
def result():
    return make_result(MAP, [0.9, 0.8, 0.4], image=np.full((4, 4, 3), 7, np.uint8))


def test_thresholds_renumber_the_rest(result):
    kept = result.select(score_thr=0.4, min_area=3)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.8])
    assert kept.entity_map.tolist() == [[0, 0, 0, 0], [1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 2, 0]]
    assert result.select(score_thr=0.85).entity_map.max() == 1
    assert len(result.select(score_thr=1)) == 0


@pytest.mark.parametrize(
    ('by', 'reverse', 'rows'),
    [
        ('score', False, [0, 1, 2]),
        ('score', True, [2, 1, 0]),
        ('area', False, [0, 1, 2]),
        ('position', False, [2, 0, 1]),
    ],
)
def test_orders(result, by, reverse, rows):
    assert result.order(by, reverse).tolist() == rows
    ordered = result.ordered(by, reverse)
    assert ordered.scores.tolist() == result.scores[rows].tolist()
    for place, row in enumerate(rows):
        assert np.array_equal(ordered.entity_map == place + 1, np.array(MAP) == row + 1)
    assert np.array_equal(ordered.areas, ordered.entities.areas)
    assert np.array_equal(ordered.boxes_xyxy_px, ordered.entities.boxes_xyxy_px)


def test_pixels_are_renumbered_once_and_only_when_asked_for(result, monkeypatch):
    calls, renumber = [], EntityMap.renumber

    def counting(self, numbers):
        calls.append(len(numbers))
        return renumber(self, numbers)

    monkeypatch.setattr(EntityMap, 'renumber', counting)
    chosen = result.ordered('position').select(score_thr=0.5).take([1, 0])
    numbered = number_entities(result, OutputOptions(reverse=True))
    list(chosen.cutouts()), chosen.polygons(), chosen.records()
    assert calls == []
    expected = [[0, 0, 0, 0], [2, 2, 1, 1], [2, 2, 1, 1], [2, 2, 1, 0]]
    assert numbered.id_map(np.uint8).tolist() == expected
    assert len(calls) == 1
    assert chosen.entity_map.tolist() == expected
    assert chosen.entity_map is not None
    assert chosen.masks().sum() == chosen.areas.sum()
    assert len(calls) == 2


def test_a_selection_can_be_selected_from_before_and_after_its_map_was_made(result):
    late, early = result.take([2, 1]), result.take([2, 1])
    assert early.entity_map.max() == 2
    for chosen in (late, early):
        last = chosen.take([1])
        assert last.scores.tolist() == pytest.approx([0.8])
        assert np.array_equal(last.entity_map == 1, np.array(MAP) == 2)
    assert result.entity_map.tolist() == MAP


def test_unknown_order_is_named(result):
    with pytest.raises(ValueError, match="'size'.*score, area, position"):
        result.order('size')


PARTS = [
    [2, 2, 2, 0, 1],
    [2, 0, 0, 0, 0],
    [1, 1, 0, 3, 3],
]


def test_parts_are_entities_with_the_score_of_the_whole():
    result = make_result(PARTS, [0.9, 0.6, 0.3])
    parts = result.split_components()
    assert parts.entity_map.tolist() == [[3, 3, 3, 0, 2], [3, 0, 0, 0, 0], [1, 1, 0, 4, 4]]
    assert parts.scores.tolist() == pytest.approx([0.9, 0.9, 0.6, 0.3])
    assert parts.areas.tolist() == [2, 1, 4, 2]
    assert parts.boxes_xyxy_px.tolist() == [[0, 2, 2, 3], [4, 0, 5, 1], [0, 0, 3, 2], [3, 2, 5, 3]]
    assert len(result) == 3
    near = result.split_components(gap_px=5)
    assert np.array_equal(near.entity_map, result.entity_map)


@pytest.mark.parametrize(
    ('options', 'expected', 'ids'),
    [
        ({}, [[3, 3, 3, 0, 2], [3, 0, 0, 0, 0], [1, 1, 0, 0, 0]], [1, 2, 3]),
        ({'min_area': 2}, [[2, 2, 2, 0, 0], [2, 0, 0, 0, 0], [1, 1, 0, 0, 0]], [1, 2]),
        # the rank among all parts, which thresholds do not change
        (
            {'min_area': 2, 'ids': 'rank'},
            [[3, 3, 3, 0, 0], [3, 0, 0, 0, 0], [1, 1, 0, 0, 0]],
            [1, 3],
        ),
        ({'order': 'area'}, [[1, 1, 1, 0, 3], [1, 0, 0, 0, 0], [2, 2, 0, 0, 0]], [1, 2, 3]),
        ({'reverse': True}, [[1, 1, 1, 0, 2], [1, 0, 0, 0, 0], [3, 3, 0, 0, 0]], [1, 2, 3]),
    ],
)
def test_numbers_of_parts(options, expected, ids):
    result = make_result(PARTS, [0.9, 0.6, 0.3])
    numbered = number_entities(result, OutputOptions(split_components=True, **options))
    assert numbered.id_map(np.int32).tolist() == expected
    assert numbered.ids.tolist() == ids


def test_masks_rles_and_polygons_agree(result):
    masks = result.masks()
    assert masks.sum(axis=(1, 2)).tolist() == result.areas.tolist()
    for mask, rle in zip(masks, result.rles()):
        assert isinstance(rle['counts'], str)
        assert np.array_equal(mask_utils.decode(rle).astype(bool), mask)
    for mask, polygons in zip(masks, result.polygons()):
        rle = mask_utils.merge(mask_utils.frPyObjects(polygons, 4, 4))
        assert np.array_equal(mask_utils.decode(rle).astype(bool), mask)
    assert result.polygons()[0] == [[0, 1, 2, 1, 2, 4, 0, 4]]


def test_cutouts_are_transparent_outside(result):
    cutout = list(result.cutouts())[1]
    assert cutout.shape == (3, 2, 4)
    assert cutout[..., 3].tolist() == [[255, 255], [255, 255], [255, 0]]
    assert (cutout[..., :3] == 7).all()


def test_resizing_drops_what_vanishes(result):
    small = result.resize(2, 2)
    assert (small.height, small.width) == (2, 2)
    assert np.array_equal(small.areas, small.entities.areas)
    assert (small.areas > 0).all()
    assert len(small) < len(result)
    assert small.image.shape == (2, 2, 3)


def test_records_are_plain_numbers(result):
    assert result.records()[1] == {
        'id': 2,
        'score': pytest.approx(0.8),
        'label': 0,
        'box_xyxy': [2, 1, 4, 4],
        'area': 5,
    }


def test_drawing_needs_the_image(result):
    assert result.draw().size == (4, 4)
    without = make_result(MAP, [0.9, 0.8, 0.4])
    with pytest.raises(ValueError, match='was not kept'):
        without.draw()
    with pytest.raises(ValueError, match='8x4, its entity map 4x4'):
        without.draw(np.zeros((8, 4, 3), np.uint8))
