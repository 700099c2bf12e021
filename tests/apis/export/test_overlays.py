"""Drawings of what a run found."""

import numpy as np

from mmentity.apis.export import overlays
from mmentity.apis.export.numbering import NumberedResult, encode_image
from mmentity.structures.palette import entity_colours
from tests.apis.conftest import make_result, scene, stripes


def numbered():
    result = make_result(stripes([40, 60, 100], 120), [0.9, 0.654, 0.5], image=scene(0, 120, 200))
    return NumberedResult(result, np.array([1, 5, 7]))


def test_labels_say_id_and_score(monkeypatch):
    texts = []
    monkeypatch.setattr(
        overlays, 'draw_entities', lambda *args: texts.append(args[4]) or args[0].copy()
    )
    overlays.draw_overlay(numbered(), ('ids', 'scores'))
    overlays.draw_overlay(numbered(), ('ids',))
    overlays.draw_overlay(numbered(), ('fill',))
    assert texts == [['#1 0.90', '#5 0.65', '#7 0.50'], ['#1', '#5', '#7'], None]


def test_the_legend_has_the_colours_of_the_overlay():
    overlay = overlays.draw_overlay(numbered(), ('fill', 'legend')).astype(float)
    image, legend = overlay[:, :200], overlay[:, 200:]
    painted = [part.mean((0, 1)) for part in np.split(image, [40, 100], axis=1)]
    line = 12  # of the legend of an image of this height
    for k, colour in enumerate(painted):
        assert np.abs(legend[int(line * (k + 1.5)), int(line * 0.7)] - colour).max() <= 1.5
        assert np.abs(entity_colours(3)[k + 1] - colour).max() > 20


def test_encoding_says_nothing(capfd):
    image = scene(0)
    assert len(encode_image('.jpg', image, quality=30)) < len(encode_image('.jpg', image))
    encode_image('.png', image)
    assert capfd.readouterr() == ('', '')
