import numpy as np
import pytest
from scipy import ndimage

from mmentity.structures import EntityMap
from mmentity.structures.boundaries import BandMap, boundary_band, boundary_distance


def eroded(mask, distance):
    """What is left of a mask; the outside of the image is not of it."""
    side = 2 * distance + 1
    return ndimage.minimum_filter(mask.astype(np.uint8), side, mode='constant', cval=0) > 0


def blocks(rng, height, width, cell, count):
    """A map of blocks and some lone pixels."""
    small = rng.integers(0, count + 1, (height // cell + 1, width // cell + 1))
    ids = np.kron(small, np.ones((cell, cell), int))[:height, :width]
    return np.where(rng.random(ids.shape) < 0.0005, count, ids)


def test_band_by_hand():
    ids = np.array([
        [1, 1, 1, 1, 2, 2, 2],
        [1, 1, 1, 1, 2, 2, 2],
        [1, 1, 1, 1, 2, 2, 2],
        [1, 1, 1, 1, 1, 1, 1],
    ])  # fmt: skip
    assert boundary_band(ids, 1).astype(int).tolist() == [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 0, 0, 1, 1, 0, 1],
        [1, 0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ]


@pytest.mark.parametrize('width', [1, 63, 64, 65, 129, 200])
@pytest.mark.parametrize('distance', [1, 2, 31, 32, 33, 70])
def test_bands_are_what_erosion_takes_from_each_mask(width, distance):
    rng = np.random.default_rng(width + distance)
    for height in (1, 170):
        ids = blocks(rng, height, width, 3 * distance + 2, 4)
        band = boundary_band(ids, distance)
        for value in range(5):
            mask = ids == value
            assert np.array_equal(mask & ~band, eroded(mask, distance))


def test_maps_that_are_transposed_in_memory():
    ids = blocks(np.random.default_rng(0), 90, 140, 21, 6)
    band = boundary_band(np.asfortranarray(ids), 4)
    assert np.array_equal(band, boundary_band(ids, 4))


@pytest.mark.parametrize('count', [5, 200, 40000])
def test_joint_histogram_of_insides_and_bands(count):
    rng = np.random.default_rng(count)
    first = blocks(rng, 60, 80, 20, 5) * (count // 5)
    second = blocks(rng, 60, 80, 17, 3)
    ours, theirs = (
        BandMap.of(EntityMap(ids, number), 3) for ids, number in ((first, count), (second, 3))
    )
    joint = ours.joint_histogram(theirs)
    assert joint.shape == (count + 1, 2, 4, 2)
    bands = boundary_band(first, 3), boundary_band(second, 3)
    for k in np.unique(first):
        for j in range(4):
            for in_first in (0, 1):
                for in_second in (0, 1):
                    shared = (first == k) & (bands[0] == in_first)
                    shared &= (second == j) & (bands[1] == in_second)
                    assert joint[k, in_first, j, in_second] == shared.sum()
    assert np.array_equal(ours.pixels, joint.sum(axis=(2, 3))[1:])


def test_entities_that_overlap_have_their_own_bands():
    masks = np.zeros((2, 30, 40), bool)
    masks[0, 2:20, 3:25] = masks[1, 10:28, 15:40] = True
    entities = EntityMap.from_masks(masks)
    assert not entities.is_disjoint
    inside = [eroded(mask, 4).sum() for mask in masks]
    assert BandMap.of(entities, 4).pixels[:, 0].tolist() == inside


@pytest.mark.parametrize(
    ('size', 'distance'), [((1500, 2000), 50), ((480, 640), 16), ((10, 10), 1), ((77, 117), 3)]
)
def test_the_band_is_as_wide_as_two_per_cent_of_the_diagonal(size, distance):
    assert boundary_distance(*size) == distance


def test_maps_of_two_sizes_are_refused():
    first, second = (BandMap.of(EntityMap(np.ones((4, w), int)), 1) for w in (5, 6))
    with pytest.raises(ValueError, match='4x5 and 4x6'):
        first.joint_histogram(second)
