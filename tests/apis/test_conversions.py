"""Results as objects of supervision and FiftyOne."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from mmentity.apis.conversions import relative_boxes
from tests.apis.export.formats.conftest import IMAGES, HandmadeInferencer

CLASSES = ('Straße', 'dog')


@pytest.mark.parametrize('name', IMAGES)
def test_supervision(name):
    supervision = pytest.importorskip('supervision', reason='supervision is not installed')
    result = HandmadeInferencer(CLASSES).result(name)
    detections = result.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert len(detections) == len(result)
    assert detections.mask.shape == (len(result), result.height, result.width)
    for k, mask in enumerate(detections.mask, start=1):
        assert np.array_equal(mask, result.entity_map == k)
    assert np.array_equal(detections.xyxy, result.boxes_xyxy_px)
    assert np.array_equal(detections.confidence, result.scores)
    assert detections.data['class_name'].tolist() == result.class_names()
    if len(result):
        kept = detections[detections.confidence > 0.9]
        assert len(kept) == (result.scores > 0.9).sum()
        assert np.array_equal(detections.area, result.areas)
        image = np.zeros((result.height, result.width, 3), np.uint8)
        drawn = supervision.MaskAnnotator(opacity=1).annotate(image, detections)
        assert np.array_equal(drawn.any(axis=-1), result.entity_map > 0)


@pytest.mark.parametrize('width', [1, 2, 60, 333, 640, 1333, 8191])
def test_relative_boxes_round_down_to_the_very_pixels(width):
    edges = np.unique(np.linspace(0, width, 400).astype(int))
    left, right = (side.ravel() for side in np.meshgrid(edges, edges))
    left, right = left[left < right], right[left < right]
    height = width + 13
    boxes = np.stack([left, left, right, right + 13], axis=1)
    x, y, wide, high = relative_boxes(boxes, height, width).T
    found = [width * x, height * y, width * (x + wide), height * (y + high)]
    assert np.array_equal(np.stack(found, axis=1).astype(int), boxes)
    assert (x >= 0).all()
    assert (x + wide <= 1).all()


def test_fiftyone(tmp_path):
    """In a process of its own, which imports it first."""
    if importlib.util.find_spec('fiftyone') is None:
        pytest.skip('fiftyone is not installed')
    code = f'import fiftyone; from {__name__} import check_fiftyone; check_fiftyone()'
    environment = {**os.environ, 'HOME': str(tmp_path)}
    subprocess.run([sys.executable, '-c', code], check=True, env=environment)


def check_fiftyone():
    fiftyone = sys.modules['fiftyone']
    for name in IMAGES:
        result = HandmadeInferencer(CLASSES).result(name)
        # as they are stored
        detections = fiftyone.Detections.from_dict(result.to_fiftyone().to_dict())
        assert [detection.label for detection in detections.detections] == result.class_names()
        painted = np.zeros((result.height, result.width), np.int32)
        for detection, score in zip(detections.detections, result.scores):
            assert detection.confidence == pytest.approx(score)
            frame_size = (result.width, result.height)
            segmentation = detection.to_segmentation(frame_size=frame_size, target=1)
            painted[segmentation.mask > 0] = detection.index
        assert np.array_equal(painted, result.entity_map)


def test_a_package_that_cannot_be_imported_any_more(monkeypatch, tmp_path):
    (tmp_path / 'fiftyone.py').write_text("{}['author']")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'fiftyone', raising=False)
    with pytest.raises(ImportError, match=r"KeyError\('author'\)\); import it before mmentity"):
        HandmadeInferencer().result('7').to_fiftyone()


@pytest.mark.parametrize('package', ['supervision', 'fiftyone'])
def test_a_missing_package_is_named_with_its_command(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    result = HandmadeInferencer().result('7')
    message = rf'to_{package}\(\) needs {package}.* run: pip install {package}$'
    with pytest.raises(ImportError, match=message):
        getattr(result, f'to_{package}')()
