import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmentity.structures import EntityMap

MAP = np.array(
    [
        [1, 1, 0, 0],
        [1, 2, 2, 0],
        [0, 2, 2, 4],
        [0, 0, 0, 4],
    ]
)


def rle_of(mask):
    return mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))


def random_map(rng, height, width, count):
    """Blocks of random ids with holes, so that runs break often."""
    small = rng.integers(0, count + 1, (height // 3 + 1, width // 2 + 1))
    return np.kron(small, np.ones((3, 2), int))[:height, :width]


def test_hand_drawn_values():
    entities = EntityMap(MAP)
    assert entities.num_entities == 4
    assert entities.is_disjoint
    assert entities.areas.tolist() == [3, 4, 0, 2]
    assert entities.boxes_xyxy_px.tolist() == [[0, 0, 2, 2], [1, 1, 3, 3], [0] * 4, [3, 2, 4, 4]]
    masks = entities.masks()
    assert masks.shape == (4, 4, 4)
    assert masks[1].tolist() == (MAP == 2).tolist()
    assert repr(entities) == 'EntityMap(4x4 px, 4 entities)'


def test_spatial_methods_keep_the_numbering():
    entities = EntityMap(MAP)
    assert entities.flip().ids[0].tolist() == MAP[:, ::-1].tolist()
    cropped = entities.crop((1, 1, 4, 3))
    assert cropped.ids[0].tolist() == [[2, 2, 0], [2, 2, 4]]
    assert cropped.num_entities == 4
    assert entities.resize(2, 2).ids[0].tolist() == [[2, 0], [0, 4]]
    selected = entities.select([False, True, True, True])
    assert selected.num_entities == 3
    assert selected.areas.tolist() == [4, 0, 2]


def test_segment_ids_become_entities_in_the_given_order():
    segments = np.array([[7, 7, 900], [0, 5, 900]])
    entities = EntityMap.from_segment_ids(segments, [900, 7, 33])
    assert entities.ids[0].tolist() == [[2, 2, 1], [0, 0, 1]]
    assert entities.num_entities == 3
    assert EntityMap.from_segment_ids(segments, []).areas.size == 0


@pytest.mark.parametrize('seed', range(5))
def test_rles_agree_with_pycocotools(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 60, 2)
    ids = random_map(rng, height, width, 6)
    masks = ids[None] == np.arange(1, 7)[:, None, None]
    rles = [rle_of(mask) for mask in masks]
    entities = EntityMap.from_segmentations(rles, height, width)
    assert entities.is_disjoint
    assert np.array_equal(entities.ids[0], ids)
    assert [r['counts'] for r in entities.rles()] == [r['counts'] for r in rles]
    uncompressed = []
    for mask in masks:
        flat = mask.T.ravel()
        edges = np.flatnonzero(np.diff(np.concatenate(([0], flat, [1 - flat[-1]]))))
        uncompressed.append({'size': [height, width], 'counts': np.diff([0, *edges]).tolist()})
    assert EntityMap.from_segmentations(uncompressed, height, width) == entities


def test_polygons():
    square = [[1, 1, 3, 1, 3, 3, 1, 3]]
    entities = EntityMap.from_segmentations([square], 4, 4)
    expected = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(square, 4, 4)))
    assert np.array_equal(entities.masks()[0], expected.astype(bool))


@pytest.mark.parametrize('seed', range(5))
def test_overlapping_masks_stay_exact(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((7, 20, 31)) < 0.3
    masks[3] = False
    entities = EntityMap.from_masks(masks)
    assert not entities.is_disjoint
    assert np.array_equal(entities.masks(), masks)
    assert EntityMap.from_segmentations([rle_of(m) for m in masks], 20, 31) == entities
    assert [r['counts'] for r in entities.rles()] == [rle_of(m)['counts'] for m in masks]
    box = (3, 2, 25, 17)
    assert np.array_equal(entities.crop(box).masks(), masks[:, 2:17, 3:25])
    other = rng.random((4, 20, 31)) < 0.4
    exact = (masks[:, None] & other[None]).sum((2, 3))
    assert np.array_equal(entities.intersections(EntityMap.from_masks(other)), exact)


@pytest.mark.parametrize('seed', range(3))
def test_resize_equals_resizing_each_mask(seed):
    from PIL import Image

    rng = np.random.default_rng(seed)
    ids = random_map(rng, 37, 53, 5)
    resized = EntityMap(ids).resize(24, 71)
    for k in range(1, 6):
        mask = Image.fromarray((ids == k).astype(np.uint8)).resize((71, 24), Image.NEAREST)
        assert np.array_equal(np.asarray(mask), resized.ids[0] == k)


def test_empty_image():
    entities = EntityMap.from_segmentations([], 3, 5)
    assert entities.num_entities == 0
    assert entities.masks().shape == (0, 3, 5)
    assert entities.boxes_xyxy_px.shape == (0, 4)
    assert entities.rles() == []
    assert entities.intersections(EntityMap(np.ones((3, 5), int))).shape == (0, 1)


@pytest.mark.parametrize(
    ('action', 'message'),
    [
        (lambda: EntityMap(np.zeros((2, 2))), 'integers of shape'),
        (lambda: EntityMap(np.zeros(4, int)), 'integers of shape'),
        (lambda: EntityMap(np.full((2, 2), 3), 2), 'map of 2 entities holds the ids'),
        (lambda: EntityMap(np.full((2, 2), -1)), 'holds the ids -1'),
        (
            lambda: EntityMap(np.zeros((2, 2), int)).intersections(EntityMap(MAP)),
            '2x2 and 4x4',
        ),
        (
            lambda: EntityMap.from_segmentations([rle_of(np.ones((4, 4)))], 4, 5),
            'RLE of size 4x4 .* does not fit an image of 4x5',
        ),
        (
            lambda: EntityMap.from_segmentations([{'size': [4, 4], 'counts': '12'}], 4, 4),
            'covers 3 pixels, its image has 16',
        ),
        (
            lambda: EntityMap.from_segmentations([{'size': [4, 4], 'counts': 'é'}], 4, 4),
            'characters outside the format',
        ),
    ],
)
def test_exceptions(action, message):
    with pytest.raises(ValueError, match=message):
        action()
