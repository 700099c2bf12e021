"""Square cut-outs of entities, on images drawn by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from mmentity.apis import entity_crops
from mmentity.apis.cutouts import EMPTY, square_around
from mmentity.apis.export import OutputOptions
from mmentity.apis.export.numbering import number_entities
from tests.apis.conftest import make_result

RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)


@pytest.fixture
def result():
    """A red square in the left half, a green bar at the right border, on blue."""
    ids = np.zeros((40, 60), int)
    ids[10:20, 5:15] = 1
    ids[0:40, 56:60] = 2
    image = np.array([BLUE, RED, GREEN], np.uint8)[ids]
    return make_result(ids, [0.9, 0.8], image=image)


@pytest.mark.parametrize(
    ('box', 'pad', 'square'),
    [
        ([5, 10, 15, 20], 0.0, (5, 10, 15, 20)),
        ([5, 10, 15, 20], 0.1, (4, 9, 16, 21)),
        ([5, 10, 15, 16], 0.0, (5, 8, 15, 18)),
        # moved into the image
        ([0, 0, 10, 10], 0.5, (0, 0, 20, 20)),
        ([50, 30, 60, 40], 0.5, (40, 20, 60, 40)),
        # as wide as the image and higher than it, so that it hangs out on both sides
        ([0, 0, 60, 40], 0.0, (0, -10, 60, 50)),
        ([0, 0, 60, 40], 0.1, (0, -10, 60, 50)),
        ([7, 7, 8, 8], 0.0, (7, 7, 8, 8)),
    ],
)
def test_squares(box, pad, square):
    assert square_around(box, pad, 40, 60) == square


def test_what_is_kept_is_the_image(result):
    first, second = entity_crops(None, result, 'keep', pad=0.0, size=10)
    assert first.tolist() == np.tile(np.array(RED, np.uint8), (10, 10, 1)).tolist()
    # 40 px high, at the right border
    expected = Image.fromarray(result.image[:, 20:60]).resize((10, 10), Image.Resampling.BICUBIC)
    assert np.array_equal(second, np.asarray(expected))
    assert (second[:, -1, 1] > 200).all()


def test_backgrounds(result):
    plain, removed, blurred = (
        next(entity_crops(None, result, background, pad=0.5, size=20))
        for background in ('keep', 'remove', 'blur')
    )
    # the square is 20 px, so that pixels stay: red in the middle, blue around
    inside = np.zeros((20, 20), bool)
    inside[5:15, 5:15] = True
    for crop in (plain, removed, blurred):
        assert (crop.dtype, crop.shape) == (np.uint8, (20, 20, 3))
        assert crop[inside].tolist() == [list(RED)] * 100
    assert plain[~inside].tolist() == [list(BLUE)] * 300
    assert removed[~inside].tolist() == [list(EMPTY)] * 300
    # red runs over the border, and the corner is as blue as it was
    assert blurred[10, 4, 0] > 60
    assert blurred[0, 0].tolist() == list(BLUE)


def test_what_lies_outside_of_the_image_is_empty():
    result = make_result(np.ones((4, 8), int), [0.9], image=np.full((4, 8, 3), 9, np.uint8))
    (crop,) = entity_crops(None, result, 'keep', pad=0.0, size=8)
    assert crop[2:6].tolist() == np.full((4, 8, 3), 9).tolist()
    assert crop[[0, 1, 6, 7]].tolist() == [[list(EMPTY)] * 8] * 4


def test_rows_follow_a_selection(result):
    (crop,) = entity_crops(result.image, result.ordered('position').take([1]), pad=0.0, size=10)
    assert crop[5, 5].tolist() == list(RED)
    assert list(entity_crops(None, result.take([]))) == []
    (crop, _) = entity_crops(None, result)
    assert crop.shape == (224, 224, 3)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'background': 'white'}, "background is 'white'; it must be one of"),
        ({'pad': -0.1}, 'pad is -0.1; it is a share'),
        ({'pad': float('nan')}, 'pad is nan'),
        ({'size': 0}, 'size is 0; it is a side in px'),
    ],
)
def test_wrong_options_are_refused_before_the_first_crop(result, options, message):
    with pytest.raises(ValueError, match=message):
        entity_crops(None, result, **options)
    with pytest.raises(ValueError, match='the image is 3x3, its entity map 40x60'):
        entity_crops(np.zeros((3, 3, 3), np.uint8), result)


def test_the_encoded_cutouts_of_a_run(result):
    options = OutputOptions(('cutout',), cutout_background='remove', cutout_pad=0.0, cutout_size=30)
    encoded = dict(number_entities(result, options).cutouts(options))
    assert encoded.keys() == {'1.png', '2.png'}
    crops = list(entity_crops(None, result, 'remove', 0.0, 30))
    for data, crop in zip(encoded.values(), crops):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), crop)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'cutout_size': 64}, 'cutout-pad and cutout-size are of square cut-outs'),
        ({'cutout_background': 'white'}, "cutout-background is 'white'"),
        ({'cutout_background': 'keep', 'cutout_size': 0}, 'size is 0'),
        ({'cutout_background': 'keep', 'formats': ('idmap',)}, 'is of the format cutout; name it'),
    ],
)
def test_wrong_options_of_a_run(options, message):
    with pytest.raises(ValueError, match=message):
        OutputOptions(**{'formats': ('cutout',), **options})
