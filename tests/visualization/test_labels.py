"""Labels: none covers another one, and each is at its entity."""

import time

import numpy as np
import pytest

from mmentity.structures import EntityMap
from mmentity.visualization.labels import Label, draw_labels, place_labels


def cells(number, height, width, seed=0):
    """The cells of random points: entities of very different sizes, without gaps."""
    points = np.random.default_rng(seed).uniform(0, 1, (number, 2)) * [height, width]
    rows, columns = np.mgrid[:height, :width]
    nearest = np.full((height, width), np.inf)
    ids = np.zeros((height, width), int)
    for k, (y, x) in enumerate(points, start=1):
        distance = (rows - y) ** 2 + (columns - x) ** 2
        ids[distance < nearest] = k
        nearest = np.minimum(nearest, distance)
    return EntityMap(ids, number)


def texts(number):
    return [f'#{k} 0.65' for k in range(1, number + 1)]


@pytest.mark.parametrize(('height', 'width'), [(480, 640), (1536, 2048)])
def test_a_hundred_labels_without_overlap(height, width):
    entities = cells(100, height, width)
    start = time.process_time()
    labels = place_labels(entities, texts(100), max(9, height // 32))
    assert time.process_time() - start < 3
    assert len(labels) == 100
    covered = np.zeros((height, width), int)
    for _, _, (x0, y0, x1, y1) in labels:
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        covered[y0:y1, x0:x1] += 1
    assert covered.max() == 1
    assert labels == place_labels(entities, texts(100), max(9, height // 32))


def test_a_label_is_on_its_entity_where_there_is_room():
    ids = np.zeros((100, 200), int)
    ids[10:90, 20:180] = 1
    ids[40:44, 60:64] = 2  # its label takes a place beside the middle of the other one
    labels = {label.text: label for label in place_labels(EntityMap(ids), ['one', '2'], 12)}
    for text, (x, y) in {'one': labels['one'].anchor, '2': (62, 42)}.items():
        x0, y0, x1, y1 = labels[text].box_xyxy_px
        assert x0 <= x < x1
        assert y0 <= y < y1
        assert not labels[text].is_apart


def test_a_label_apart_has_a_line_to_its_entity(monkeypatch):
    ids = np.zeros((640, 640), int)
    for k in range(12):
        ids[320:322, 300 + 3 * k : 302 + 3 * k] = k + 1
    entities = EntityMap(ids)
    labels = place_labels(entities, texts(12), 20)
    apart = [label for label in labels if label.is_apart]
    assert 0 < len(apart) < 12
    img = np.full((640, 640, 3), 100, np.uint8)
    drawn = draw_labels(img, entities, texts(12))
    monkeypatch.setattr(Label, 'is_apart', False)
    without_lines = draw_labels(img, entities, texts(12))
    lines = (drawn != without_lines).any(-1)
    for label in apart:
        x, y = label.anchor
        assert lines[y - 12 : y + 13, x - 12 : x + 13].any()
    # texts stay in their boxes
    ink = (without_lines != img).any(-1)
    for _, _, (x0, y0, x1, y1) in labels:
        assert ink[y0:y1, x0:x1].any()
        ink[y0:y1, x0:x1] = False
    assert not ink.any()


def test_no_room_and_no_pixel():
    ids = np.ones((12, 30), int)
    ids[:, 15:] = 2
    labels = place_labels(EntityMap(ids, 3), ['a long text', 'b', 'c'], 9)
    assert [label.text for label in labels] == ['b']
