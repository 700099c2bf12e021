"""Outlines: on maps drawn by hand, and against pycocotools on ground truth and predictions."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from scipy import ndimage

from mmentity.datasets import EntitySegDataset
from mmentity.structures.outlines import outlines
from tests.apis.conftest import inferencer, make_result, weights  # noqa: F401


def rasterised(polygons, height, width):
    rle = mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))
    return mask_utils.decode(rle).astype(bool)


def signed_area(outline):
    following = [*outline[1:], outline[0]]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(outline, following)) / 2


@pytest.mark.parametrize(
    ('mask', 'expected'),
    [
        (['#'], [[(0, 0), (1, 0), (1, 1), (0, 1)]]),
        (['.##'], [[(1, 0), (3, 0), (3, 1), (1, 1)]]),
        (['...'], []),
        # parts that share a corner only are two
        (['#.', '.#'], [[(0, 0), (1, 0), (1, 1), (0, 1)], [(1, 1), (2, 1), (2, 2), (1, 2)]]),
        # a hole is walked the other way, after a line down to it
        (
            ['###', '#.#', '###'],
            [[(0, 0), (1, 0), *((1, 1), (1, 2), (2, 2), (2, 1), (1, 1)), (1, 0), (3, 0),
              (3, 3), (0, 3)]],
        ),
    ],
)  # fmt: skip
def test_values(mask, expected):
    assert outlines(np.array([[pixel == '#' for pixel in row] for row in mask])) == expected


@pytest.mark.parametrize('seed', range(100))
def test_random_masks(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 24, 2).tolist()
    mask = rng.random((height, width)) < rng.random()
    mask[rng.integers(height), rng.integers(width)] = True
    found = outlines(mask)
    assert len(found) == ndimage.label(mask)[1]
    assert sum(map(signed_area, found)) == mask.sum()
    polygons = [[float(value) for point in outline for value in point] for outline in found]
    assert np.array_equal(rasterised(polygons, height, width), mask)


def check_polygons(result):
    """IoU of each polygon with its mask is 1."""
    for mask, polygons in zip(result.masks(), result.polygons()):
        assert polygons
        assert all(len(polygon) >= 8 for polygon in polygons)
        assert np.array_equal(rasterised(polygons, result.height, result.width), mask)


def test_polygons_of_ground_truth(demo_root):
    dataset = EntitySegDataset(
        data_root=str(demo_root),
        ann_file='annotations/entity_segmentation/entityv2_01_entity_val.json',
        data_prefix={'img': 'images/'},
        pipeline=[{'type': 'mmentity.LoadEntityImage'}, {'type': 'mmentity.LoadEntityAnnotations'}],
    )
    for k in range(len(dataset)):
        entities = dataset[k]['gt_masks'].entities
        check_polygons(make_result(entities.ids[0], np.ones(entities.num_entities)))


def test_polygons_of_predictions(inferencer):  # noqa: F811
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (120, 160, 3), np.uint8)
    result = inferencer.predict(noise)
    assert len(result) > 10
    check_polygons(result)
