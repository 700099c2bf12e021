"""Every method against mmdet's BitmapMasks of the same entities."""

import copy
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmentity.structures import EntityMap
from mmentity.structures.entity_masks import EntityMasks
from tests.conftest import require_compiled_ops

# four entities, the third of which has no pixel, and pixels of none; OpenCV rounds
# coordinates of images of more channels than four in another way
RNG = np.random.default_rng(0)
DISJOINT = np.kron(RNG.choice([0, 1, 2, 4], (7, 9)), np.ones((5, 4), int))
OVERLAPPING = np.zeros((4, 30, 41), bool)
for k, box in enumerate(((2, 20, 3, 22), (10, 28, 15, 40), (0, 5, 0, 5), (15, 18, 10, 35))):
    OVERLAPPING[k, box[0] : box[1], box[2] : box[3]] = True


def pair_of(name):
    entities = EntityMap(DISJOINT, 4) if name == 'disjoint' else EntityMap.from_masks(OVERLAPPING)
    masks = entities.masks().astype(np.uint8)
    return EntityMasks(entities), BitmapMasks(masks, *masks.shape[1:])


@pytest.fixture(params=['disjoint', 'overlapping'])
def pair(request):
    return pair_of(request.param)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    assert (ours.height, ours.width) == (theirs.height, theirs.width)
    assert np.array_equal(ours.to_ndarray(), theirs.to_ndarray())
    assert np.array_equal(ours.areas, theirs.areas)
    assert torch.equal(ours.get_bboxes().tensor, theirs.get_bboxes('hbox').tensor)


EXACT = {
    'itself': lambda m: m,
    'flip': lambda m: m.flip(),
    'flip_vertical': lambda m: m.flip('vertical'),
    'flip_diagonal': lambda m: m.flip('diagonal'),
    'pad': lambda m: m.pad((50, 60), 0),
    'crop': lambda m: m.crop(np.array([3, 2, 20, 25])),
    'crop_over_the_edge': lambda m: m.crop(np.array([-3, 20, 20, 99])),
    'expand': lambda m: m.expand(70, 80, 11, 7),
    'number': lambda m: m[1],
    'slice': lambda m: m[1:3],
    'boolean': lambda m: m[np.arange(len(m)) % 2 == 0],
    'none': lambda m: m[np.zeros(len(m), bool)],
    'order': lambda m: m[np.array([3, 0, 2])],
    'repeats': lambda m: m[np.array([1, 1, 0, 1])],
    'cat': lambda m: m.cat([m, m.flip(), m[:0]]),
    'translate': lambda m: m.translate((m.height, m.width), 6),
    'translate_back': lambda m: m.translate((m.height, m.width), -6),
    'translate_down': lambda m: m.translate((m.height, m.width), 6, 'vertical'),
    'translate_up_larger': lambda m: m.translate((60, 70), -4, 'vertical'),
    'translate_larger': lambda m: m.translate((60, 70), 13),
    'translate_smaller': lambda m: m.translate((20, 15), 3),
    'translate_away': lambda m: m.translate((m.height, m.width), 500),
    'shear': lambda m: m.shear((m.height, m.width), 0.3, interpolation='nearest'),
    'shear_down': lambda m: m.shear((m.height, m.width), -0.2, 'vertical', 0, 'nearest'),
    'rotate': lambda m: m.rotate((m.height, m.width), 25, interpolation='nearest'),
    'rotate_and_scale': lambda m: m.rotate(
        (m.height, m.width), -70, (3, 4), 1.5, interpolation='nearest'
    ),
}


@pytest.mark.parametrize('name', EXACT)
def test_methods_equal_those_of_bitmaps(pair, name):
    ours, theirs = pair
    assert_same(EXACT[name](ours), EXACT[name](theirs))


@pytest.mark.parametrize(
    'resize',
    [
        lambda m: m.resize((17, 60)),
        lambda m: m.resize((90, 20)),
        lambda m: m.rescale((100, 40)),
        lambda m: m.rescale(0.7),
    ],
)
def test_resizing_equals_that_of_bitmaps_with_pillow(pair, resize, monkeypatch):
    monkeypatch.setattr('mmcv.image.geometric.imread_backend', 'pillow')
    assert_same(resize(pair[0]), resize(pair[1]))


@pytest.mark.parametrize(
    'warp',
    [
        lambda m: m.shear((m.height, m.width), 0.3),
        lambda m: m.rotate((m.height, m.width), 25, scale=1.3),
    ],
)
def test_interpolated_warps_differ_at_borders_only(pair, warp):
    ours, theirs = pair
    differ = warp(ours).to_ndarray() != warp(theirs).to_ndarray()
    kernel = np.ones((3, 3), np.uint8)
    for mask, wrong in zip(warp(theirs).to_ndarray(), differ):
        border = cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)
        assert not (wrong & ~border).any()


@pytest.mark.parametrize('binarize', [True, False])
def test_targets_of_mask_heads(pair, binarize):
    require_compiled_ops()
    ours, theirs = pair
    boxes = torch.tensor(
        [[0.0, 0, 30, 20], [3.3, 4.7, 17.1, 28.9], [10, 2, 12, 35], [0, 0, 36, 30]]
    )
    inds = np.array([0, 1, 3, 0])
    cut = [m.crop_and_resize(boxes, (14, 14), inds, 'cpu', binarize=binarize) for m in pair]
    assert np.array_equal(cut[0].masks, cut[1].masks)
    assert ours.crop_and_resize(boxes[:0], (14, 14), inds[:0]).masks.shape == (0, 14, 14)
    assert torch.equal(
        ours.to_tensor(torch.bool, 'cpu'), torch.as_tensor(theirs.masks, dtype=torch.bool)
    )


def test_annotated_areas_follow_what_keeps_the_pixels():
    areas = np.array([10.5, 20.5, 30.5, 40.5])
    masks = EntityMasks(EntityMap(DISJOINT, 4), areas)
    kept = masks.flip('diagonal').pad((60, 60)).expand(70, 70, 3, 4)[[3, 0]]
    assert kept.annotated_areas.tolist() == [40.5, 10.5]
    both = masks.cat([masks[[1]], masks.resize((35, 36))[[0]]])
    assert both.annotated_areas.tolist() == [20.5, masks.areas[0]]
    for changed in (
        masks.resize((10, 10)),
        masks.crop(np.array([0, 0, 9, 9])),
        masks.rotate((), 9),
    ):
        assert np.array_equal(changed.annotated_areas, changed.areas)


def test_what_is_written_into_masks_is_kept(pair):
    ours, theirs = pair
    for masks in pair:
        masks.masks[:, 3:9, 5:30] = 0
    assert_same(ours, theirs)
    for masks in pair:
        masks.masks = np.where(np.arange(masks.width) < 7, 0, masks.masks)
    assert_same(ours, theirs)


def test_masks_of_other_kinds(pair):
    ours, theirs = pair
    assert_same(EntityMasks.of(theirs), theirs)
    assert EntityMasks.of(ours) is ours
    polygons = PolygonMasks([[np.array([1.0, 1, 5, 1, 5, 5, 1, 5])]], 8, 9)
    assert EntityMasks.of(polygons).areas.tolist() == [polygons.to_ndarray().sum()]
    assert len(EntityMasks.of(BitmapMasks([], 8, 9))) == 0


def test_copies(pair):
    for copied in (copy.deepcopy(pair[0]), pickle.loads(pickle.dumps(pair[0]))):
        assert_same(copied, pair[1])


def test_exceptions(pair):
    masks = pair[0]
    with pytest.raises(ValueError, match="flipped 'sideways'"):
        masks.flip('sideways')
    for call in (
        lambda: masks.pad((60, 60), 1),
        lambda: masks.translate((9, 9), 1, border_value=1),
        lambda: masks.rotate((9, 9), 1, border_value=255),
    ):
        with pytest.raises(ValueError, match='border of entities cannot be filled'):
            call()
    with pytest.raises(ValueError, match=r'of images of .* and 20x20 .* cannot be joined'):
        masks.cat([masks, masks.resize((20, 20))])
    with pytest.raises(ValueError, match='no masks'):
        masks.cat([])
