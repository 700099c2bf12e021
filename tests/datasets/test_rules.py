"""The rules of a valid sample: their kinds, and that the loader and the check agree on them."""

import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mmentity.datasets import EntitySegDataset, EntitySegPanopticDataset, SampleError
from mmentity.datasets.rules import (
    check_classes,
    check_image_size,
    check_map_size,
    check_segments,
    mask_runs,
    probe_image,
    semantic_values,
)
from mmentity.preparation.check import check_entityseg
from mmentity.structures.rle import box_of, runs_of
from tests.preparation.planting import PANOPTIC, PANOPTIC_MAPS, TRAIN, Planter, keep_merged_files

PIPELINE = [{'type': 'mmentity.LoadEntityImage'}, {'type': 'mmentity.LoadEntityAnnotations'}]


@pytest.mark.parametrize(
    ('rule', 'kind'),
    [
        (lambda: check_image_size('a', (2, 3), (3, 2)), 'image-size'),
        (lambda: mask_runs({'size': [2, 2], 'counts': '04'}, (2, 3)), 'mask-size'),
        (lambda: mask_runs({'size': [2, 3], 'counts': '04'}, (2, 3)), 'bad-mask'),
        (lambda: mask_runs({'size': [2, 3]}, (2, 3)), 'bad-mask'),
        (lambda: mask_runs([], (2, 3)), 'bad-mask'),
        (lambda: mask_runs(7, (2, 3)), 'bad-mask'),
        (lambda: check_map_size('a', (2, 3), (3, 2)), 'map-size'),
        (lambda: check_map_size('a', (2, 3), (4, 6), (2, 3)), 'map-of-other-resolution'),
        (lambda: check_map_size('a', (800, 1067), (900, 1200)), 'map-of-other-resolution'),
        (lambda: semantic_values('a', Image.new('RGB', (2, 2))), 'bad-map'),
        (lambda: check_classes('a', np.array([0, 150, 255]), 150), 'unknown-class-in-map'),
        (lambda: check_segments('a', {1, 2}, [{'id': 1, 'area': 3}]), 'segments-differ'),
        (lambda: check_segments('a', set(), [{'id': 1, 'area': 3}]), 'segments-differ'),
        (lambda: probe_image(__file__), 'bad-image'),
    ],
)
def test_kinds(rule, kind):
    with pytest.raises(SampleError) as error:
        rule()
    assert error.value.kind == kind


@pytest.mark.parametrize(
    ('segmentation', 'cause'),
    [
        ([], 'an empty list'),
        (None, "'None', neither an RLE nor a list of polygons"),
        ([[1, 1, 3, 4]], 'polygon 1 of 1 has 2 points'),
        ([[0, 0, 5, 0, 5, 5], [1, 1, 3, 4]], 'polygon 2 of 2 has 2 points'),
        ([[]], 'polygon 1 of 1 has 0 points'),
        ([0, 0, 5, 0, 5, 5], "polygon 1 of 6 is '0'; a segmentation is a list of lists"),
        ([[0, 0, 5, 0, 5, 5, 1]], '7 coordinates; each x needs its y'),
        ([[[0, 0], [5, 0], [5, 5]]], 'no flat list'),
        ([[[0, 0], 5]], 'no flat list'),
        ([['a'] * 6], 'of numbers'),
        ([[1e30, 0, 1, 1, 2, 2]], 'far outside'),
        ([[float('nan'), 0, 1, 1, 2, 2]], 'far outside'),
        ({}, 'no size and no counts'),
        ({'size': 6, 'counts': [54]}, r'the size of an RLE is 6; it must be \[height, width\]'),
    ],
)
def test_what_is_no_segmentation_says_why(segmentation, cause):
    # of these pycocotools says IndexError, TypeError, Exception, nothing, or ends the process
    with pytest.raises(SampleError, match=cause) as error:
        mask_runs(segmentation, (6, 9))
    assert error.value.kind == 'bad-mask'


def test_what_is_valid_passes():
    mask_runs([(0, 0, 5, 0, 5.5, 5), np.array([1, 1, 3, 4, 3, 1])], (6, 9))
    check_image_size('a', (2, 3), (2, 3))
    check_image_size('a', (2, 3), (None, None))
    check_map_size('a', (2, 3), (2, 3))
    check_classes('a', np.array([0, 149, 255]), 150)
    check_segments('a', {1}, [{'id': 1, 'area': 3}, {'id': 2, 'area': 0}])


@pytest.mark.parametrize('seed', range(4))
def test_boxes_of_runs_are_those_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(3, 30, 2).tolist()
    mask = rng.random((height, width)) < (0.02, 0.1, 0.5, 1)[seed]
    mask[height // 2, width // 2] = True
    rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    x0, y0, x1, y1 = box_of(runs_of(rle, height, width), height).tolist()
    assert [x0, y0, x1 - x0, y1 - y0] == mask_utils.toBbox(rle).tolist()


def faults_of_loading(dataset):
    """Kind of the error of each sample that cannot be loaded."""
    kinds = []
    for index in range(len(dataset)):
        try:
            dataset[index]
        except SampleError as error:
            kinds.append(error.kind)
    return sorted(kinds)


def test_loader_and_check_agree(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    keep_merged_files(root)
    planter = Planter(root)
    for kind in ('missing-image', 'bad-mask', 'missing-map', 'segments-differ'):
        if kind == 'segments-differ':
            planter.unused_maps = [0]
        if kind == 'missing-map':
            planter.unused_maps = [1]
        planter.plant(kind)
    planter.write()
    problems = check_entityseg(root, ('entity', 'panoptic'), workers=1).problems
    entities = EntitySegDataset(
        data_root=str(root),
        ann_file=TRAIN,
        data_prefix={'img': 'images/'},
        pipeline=PIPELINE,
        test_mode=True,
    )
    panoptic = EntitySegPanopticDataset(
        data_root=str(root),
        ann_file=PANOPTIC,
        data_prefix={'img': 'images/entity_01_11580/', 'seg': PANOPTIC_MAPS},
        pipeline=PIPELINE,
        test_mode=True,
    )
    for dataset, name in ((entities, TRAIN), (panoptic, PANOPTIC)):
        found = sorted(problem.kind for problem in problems if problem.file == name)
        assert faults_of_loading(dataset) == found
        assert len(found) == 2
