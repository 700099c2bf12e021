"""Draw the tiles of a large demo scene, and its entities as they are joined.

PYTHONPATH=benchmarks python docs/figures/large_image.py    after `make demo`
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tiles import FACTOR, SEED, load_model

from mmentity.apis.export import OutputOptions
from mmentity.apis.tiles import TiledPrediction, TileGrid, TileOptions
from mmentity.preparation.synthetic import DemoOptions, draw_scene
from mmentity.structures import EntityMap
from mmentity.visualization.drawing import draw_entities, side_by_side

SIZE, OVERLAP = 768, 256
# of the scenes of the benchmark
NUMBER = 0
COLOURS = ((220, 20, 60), (0, 114, 189))


def main() -> None:
    """Predict a scene and draw it."""
    usual = DemoOptions()
    large = replace(usual, height=FACTOR * usual.height, width=FACTOR * usual.width)
    img = draw_scene(np.random.default_rng((SEED, 2, NUMBER)), large).img
    with tempfile.TemporaryDirectory() as folder:
        run = TiledPrediction(
            np.ascontiguousarray(img[..., ::-1]),
            Path(folder, 'map.png'),
            TileOptions(SIZE, OVERLAP),
            OutputOptions(score_thr=0.5, min_area=600),
        )
        ids = np.asarray(Image.open(run(load_model('tiles')).path)).astype(np.int32)
    boxed = Image.fromarray(img)
    draw = ImageDraw.Draw(boxed)
    for tile in TileGrid(*img.shape[:2], SIZE, OVERLAP):
        inset = 6 + 12 * ((tile.row + tile.column) % 2)
        x0, y0, x1, y1 = tile.box
        edges = (x0 + inset, y0 + inset, x1 - inset, y1 - inset)
        draw.rectangle(edges, outline=COLOURS[(tile.row + tile.column) % 2], width=8)
    panels = [np.asarray(boxed), draw_entities(img, EntityMap(ids), 0.75)]
    figure = Image.fromarray(side_by_side(panels, ['tiles', 'joined entities']))
    figure.thumbnail((1600, 1600))
    figure.save(Path(__file__).with_name('tiles.jpg'), quality=80)


if __name__ == '__main__':
    main()
