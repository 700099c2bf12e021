"""Other views than the four corners: grids, given boxes."""

import numpy as np
import pytest

from mmentity.apis import EntityInferencer
from mmentity.apis.views import grid_of
from mmentity.datasets.geometry import corner_boxes, grid_boxes
from tests.apis.conftest import CROPS, MODEL, scene


@pytest.fixture(scope='module')
def plain(crop_weights):
    return EntityInferencer(CROPS, crop_weights, 'cpu', show_progress=False)


def views_of(inferencer, image):
    """Boxes of the views that the network is given."""
    packed = inferencer.backend.pipeline(
        {'img': image.copy(), 'img_id': '0', 'img_path': '', 'ori_shape': image.shape[:2]}
    )
    return packed['data_samples'].view_boxes


def assert_same(one, other):
    assert np.array_equal(one.entity_map, other.entity_map)
    assert np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize('grid', [(1, 1), (1, 3), (3, 3), (4, 2), (5, 4)])
def test_a_grid_reaches_from_edge_to_edge_and_shares_as_much_as_corners(grid):
    boxes = grid_boxes(1000, 1300, 0.7, grid).reshape(*grid, 4)
    assert boxes[0, 0, :2].tolist() == [0, 0]
    assert boxes[-1, -1, 2:].tolist() == [1300, 1000]
    for axis, (before, after) in enumerate(
        [(boxes[:, :-1], boxes[:, 1:]), (boxes[:-1], boxes[1:])]
    ):
        if before.size:
            shared = before[..., axis + 2] - after[..., axis]
            side = before[..., axis + 2] - before[..., axis]
            assert shared / side == pytest.approx(4 / 7, abs=0.01)


def test_a_grid_of_2x2_is_the_same_to_the_bit(plain, crop_weights):
    image = scene(3, 72, 96)
    grid = EntityInferencer(CROPS, crop_weights, 'cpu', show_progress=False, views='2x2')
    expected = plain.predict(image)
    assert len(expected) > 1
    assert_same(grid.predict(image), expected)
    assert_same(plain.predict(image, boxes=corner_boxes(72, 96, 0.7)), expected)


@pytest.mark.parametrize(('views', 'number'), [('3x3', 9), ((4, 4), 16), ('1x3', 3)])
def test_the_network_is_given_the_views_of_a_grid(views, number, plain, crop_weights):
    image = scene(4, 72, 96)
    inferencer = EntityInferencer(plain.cfg, crop_weights, 'cpu', show_progress=False, views=views)
    boxes = views_of(inferencer, image)
    assert boxes == [[0, 0, 96, 72], *grid_boxes(72, 96, 0.7, grid_of(views)).tolist()]
    assert len(boxes) == number + 1
    result = inferencer.predict(image)
    assert result.entity_map.shape == (72, 96)
    assert not np.array_equal(result.entity_map, plain.predict(image).entity_map)
    # the config that was given stays as it is
    assert len(views_of(plain, image)) == 5


def test_the_overlap_of_views_is_the_part_of_a_crop_that_two_share(crop_weights):
    inferencer = EntityInferencer(
        CROPS, crop_weights, 'cpu', show_progress=False, views='1x4', view_overlap=0.25
    )
    _, *crops = views_of(inferencer, scene(0, 80, 1200))
    assert [(x0, x1) for x0, _, x1, _ in crops] == [(0, 369), (277, 646), (554, 923), (831, 1200)]


def test_given_boxes_are_the_views(plain):
    image = scene(5, 72, 96)
    result = plain.predict(image, boxes=[[10, 8, 50, 40], [0, 0, 1, 1], [60, 10, 96, 72]])
    assert result.entity_map.shape == (72, 96)
    assert not np.array_equal(result.entity_map, plain.predict(image).entity_map)


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ([[0, 0, 97, 10]], 'box 0 is .0, 0, 97, 10., and the image has 72 x 96 px'),
        ([[0, 0, 9, 9], [5, 8, 5, 20]], 'box 1 is .5, 8, 5, 20.'),
        ([[0, -1, 9, 9]], 'box 0'),
        ([[0.5, 0, 9, 9]], 'float64; give whole numbers'),
        ([0, 0, 9, 9], r'shape \(4,\); give one or more'),
        ([], 'give one or more'),
    ],
)
def test_a_wrong_box_is_named(boxes, message, plain):
    with pytest.raises(ValueError, match=message):
        plain.predict(scene(0, 72, 96), boxes=boxes)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'views': '3'}, "views are '3'; write rows and columns"),
        ({'views': '0x2'}, 'at least 1 each'),
        ({'views': '3x3', 'view_overlap': 1.0}, 'overlap of views is 1.0'),
    ],
)
def test_wrong_views_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        EntityInferencer(CROPS, None, 'cpu', show_progress=False, **options)


def test_a_model_of_whole_images_takes_no_crops(inferencer):
    with pytest.raises(ValueError, match='no CropViews in its test pipeline.*--tile'):
        EntityInferencer(MODEL, None, 'cpu', show_progress=False, views='3x3')
    with pytest.raises(ValueError, match='sees the whole image only'):
        inferencer.predict(scene(0), boxes=[[0, 0, 8, 8]])
