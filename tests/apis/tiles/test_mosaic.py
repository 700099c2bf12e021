"""Ids that go on over the seams of a mosaic of demo scenes."""

import importlib

import numpy as np
from PIL import Image

from mmentity.apis.export import OutputOptions
from mmentity.apis.tiles import TiledPrediction, TileOptions
from mmentity.preparation.synthetic import DemoOptions
from mmentity.structures import EntityMap
from tests.apis.tiles.conftest import save_ids
from tests.conftest import ROOT


def test_entities_of_a_mosaic_stay_one_over_the_seams_of_tiles(oracle, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'benchmarks')
    draw_mosaic = importlib.import_module('mosaics').draw_mosaic
    mosaic = draw_mosaic(8, 8, DemoOptions(height=96, width=128, num_things=(2, 4)))
    image = save_ids(mosaic.entities.ids[0], tmp_path / 'mosaic.png')
    # no side of a scene is one of a tile, and each tile sees the mosaic a pixel off
    options, outputs = TileOptions(160, 48), OutputOptions(score_thr=0)
    result = TiledPrediction(image, tmp_path / 'map.png', options, outputs)(oracle(jitter=1))
    found = EntityMap(np.asarray(Image.open(result.path)).astype(np.int32), len(result))
    shared = mosaic.entities.intersections(found)
    truth = mosaic.entities.areas
    iou = shared / (truth[:, None] + found.areas - shared)
    # what is thinner than the jitter may be cut
    large = truth >= 150
    assert large.sum() > 250
    assert (iou.max(axis=1)[large] > 0.5).mean() > 0.98
    across = mosaic.across - 1
    assert len(across) == 56
    assert (iou.max(axis=1)[across] > 0.6).mean() > 0.95
    assert len(np.unique(iou.argmax(axis=1)[across])) == len(across)
