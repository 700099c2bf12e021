"""HOTA and id switches, against values by hand."""

import numpy as np
import pytest

pytest.importorskip('trackeval', reason='HOTA needs trackeval')

from mmentity.evaluation.tracking_score import TrackingScore

TRUTH = np.repeat([[7, 7, 0, 9, 9, 9]], 4, axis=0)


def test_the_same_ids_are_perfect():
    score = TrackingScore()
    for _ in range(6):
        score.add(TRUTH * 3, TRUTH)
    assert score.compute() == {'HOTA': 100, 'DetA': 100, 'AssA': 100, 'IDSW': 0, 'MOTA': 100}


def test_ids_that_are_swapped_half_way():
    score = TrackingScore()
    swapped = np.where(TRUTH == 7, 9, np.where(TRUTH == 9, 7, 0))
    for k in range(8):
        score.add(TRUTH if k < 4 else swapped, TRUTH)
    metrics = score.compute()
    # each detection shares 4 frames with its id, of 12 that have one of the two
    assert metrics['AssA'] == pytest.approx(100 / 3)
    assert metrics['HOTA'] == pytest.approx(100 * np.sqrt(1 / 3))
    assert metrics['IDSW'] == 2


def test_nothing_found_and_another_size():
    score = TrackingScore()
    score.add(np.zeros_like(TRUTH), TRUTH)
    assert score.compute()['HOTA'] == 0
    with pytest.raises(ValueError, match='cannot be compared'):
        score.add(TRUTH[:2], TRUTH)
