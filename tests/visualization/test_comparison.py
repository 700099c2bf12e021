import numpy as np
import pytest

from mmentity.structures import EntityMap
from mmentity.structures.palette import entity_colours
from mmentity.visualization.comparison import BETTER, UNMATCHED, best_ious, draw_comparison

SHAPE = (80, 120)


def boxes(*places):
    """Entity map of boxes, each rows and columns."""
    ids = np.zeros(SHAPE, int)
    for number, (top, bottom, left, right) in enumerate(places, start=1):
        ids[top:bottom, left:right] = number
    return EntityMap(ids, len(places))


GROUND_TRUTH = boxes((20, 40, 20, 40), (50, 70, 60, 100))
# the second one is found by both, the first by the exact one only
EXACT = boxes((50, 70, 60, 100), (20, 40, 20, 40))
COARSE = boxes((20, 40, 30, 60), (50, 70, 60, 100))


def test_best_iou_of_each_entity():
    assert best_ious(GROUND_TRUTH, EXACT).tolist() == [1, 1]
    assert best_ious(GROUND_TRUTH, COARSE) == pytest.approx([200 / 800, 1])
    assert best_ious(GROUND_TRUTH, boxes()).tolist() == [0, 0]


def panels(sheet, number):
    """The panels of a sheet below their titles."""
    return np.split(sheet[len(sheet) - SHAPE[0] :], number, axis=1)


def drawn(predictions, img=None):
    img = np.zeros((*SHAPE, 3), np.uint8) if img is None else img
    return panels(draw_comparison(img, GROUND_TRUTH, predictions), 2 + len(predictions))


def test_matched_entities_have_the_colour_of_the_ground_truth():
    truth, coarse, exact = drawn({'coarse': COARSE, 'exact': EXACT})[1:]
    for place in ((30, 30), (60, 80)):
        assert truth[place].tolist() == exact[place].tolist()
    assert coarse[60, 80].tolist() == truth[60, 80].tolist()
    tint = np.array(UNMATCHED) * 0.55
    assert np.abs(coarse[30, 50] - tint).max() <= 1
    assert np.abs(truth[30, 30] - entity_colours(1)[1] * 0.55).max() <= 1


def test_outlines_show_what_one_model_segments_better():
    image, truth, coarse, exact = drawn({'coarse': COARSE, 'exact': EXACT})
    outlined = [(panel == BETTER).all(-1) for panel in (image, truth, coarse, exact)]
    assert [mask.any() for mask in outlined] == [False, False, False, True]
    rows, columns = np.nonzero(outlined[3])
    # the first entity, not what the other model finds as well
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 41, 20, 41)


def test_an_image_without_entities():
    nothing = boxes()
    sheet = draw_comparison(np.zeros((*SHAPE, 3), np.uint8), nothing, {'a': EXACT, 'b': nothing})
    assert sheet.shape[1] == 4 * SHAPE[1]
    assert not (sheet == BETTER).all(-1).any()
