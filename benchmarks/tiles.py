"""Views and tiles on demo scenes: AP^e by size, and memory.

    make demo                            trains the nano CropFormer that finds the entities
    python benchmarks/tiles.py           all cases; --only scenes, --only mosaic, --only memory

Scenes four times as large as those that the model is trained on, and mosaics of scenes of that
size, are predicted with 2 x 2 crops, with finer grids, and tile by tile. Areas of the large
scenes are counted in pixels of the usual ones, so that small means small in the scene.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from measuring import run
from mosaics import Mosaic, draw_mosaic

from mmentity.apis import EntityInferencer
from mmentity.apis.export import OutputOptions
from mmentity.apis.inferencer import LoadOptions, Outcome
from mmentity.apis.inputs import InputImage
from mmentity.apis.lazy_map import LazyEntityMap
from mmentity.apis.result import EntityResult
from mmentity.apis.tiles import TiledPrediction, TileOptions
from mmentity.evaluation.coco_tables import PRECISIONS, OverlapTable, summarize_tables
from mmentity.evaluation.entity_metric import table_of_map
from mmentity.evaluation.samples import GroundTruth
from mmentity.preparation.synthetic import DemoOptions, draw_scene
from mmentity.structures import EntityMap

MODEL = 'cropformer_swin-nano_demo'
WAYS = ('2x2', '3x3', '4x4', 'tiles of 768', 'tiles of 576', 'tiles of 384', 'tiles of 288')
# scenes that training has not seen
SEED = 7
FACTOR = 4
NUMBER = {'scenes': 40, 'mosaics': 4}


def cases() -> list[dict]:
    """List what is measured."""
    large = [{'images': kind, 'way': way} for kind in NUMBER for way in WAYS]
    mosaic = [{'mosaic': 8, 'way': way} for way in ('scene by scene', *WAYS[4:])]
    # the last one without a model
    memory = [{'memory': number} for number in (8, 16)] + [{'memory': 'blank', 'side': 50_000}]
    return [*large, *mosaic, *memory]


def measure_case(case: dict) -> dict:
    """Measure one case."""
    if 'memory' in case:
        return measure_memory(case)
    inferencer = load_model(case['way'])
    mosaics = [draw_mosaic(8, 8, seed=SEED)] if 'mosaic' in case else draw_images(case['images'])
    tables = []
    for mosaic in mosaics:
        if case['way'] == 'scene by scene':
            tables += [score_scene(inferencer, mosaic, box) for box in mosaic.boxes_xyxy_px]
            continue
        ids, scores = predict(inferencer, mosaic.img, case['way'])
        if 'mosaic' in case:
            tables += [score(mosaic, ids, scores, box) for box in mosaic.boxes_xyxy_px]
        else:
            height, width = ids.shape
            shrink = FACTOR**2 if case['images'] == 'scenes' else 1
            tables.append(score(mosaic, ids, scores, (0, 0, width, height), shrink))
    return metrics_of(tables)


def draw_images(kind: str) -> list[Mosaic]:
    """Draw images of 1152 x 1536 px: one scene, or 4 x 4 of them."""
    number = NUMBER[kind]
    if kind == 'mosaics':
        return [draw_mosaic(FACTOR, FACTOR, seed=SEED + k) for k in range(number)]
    usual = DemoOptions()
    large = replace(usual, height=FACTOR * usual.height, width=FACTOR * usual.width)
    drawn = [draw_scene(np.random.default_rng((SEED, 2, k)), large) for k in range(number)]
    return [Mosaic(scene.img, scene.entities, np.zeros(0), np.zeros((0, 4))) for scene in drawn]


def load_model(way: str) -> EntityInferencer:
    """Build the trained model of the demo, with the views of a way."""
    found = sorted(
        Path('work_dirs', MODEL).glob('best_*.pth'), key=lambda path: path.stat().st_mtime
    )
    if not found:
        raise FileNotFoundError(f'work_dirs/{MODEL} has no best_*.pth; run make demo')
    views = way if 'x' in way else None
    return EntityInferencer(MODEL, found[-1], 'cpu', show_progress=False, views=views)


def predict(inferencer: EntityInferencer, img: np.ndarray, way: str) -> tuple:
    """Predict an image in a way; ids of all entities, best score first, and their scores."""
    bgr = np.ascontiguousarray(img[..., ::-1])
    if 'tiles' not in way:
        result = inferencer.predict(bgr, keep_image=False)
        return result.entity_map, result.scores
    size = int(way.split()[-1])
    with tempfile.TemporaryDirectory() as folder:
        outputs = OutputOptions(score_thr=0, order='score')
        options = TileOptions(size, size // 3, workers=0)
        tiled = TiledPrediction(bgr, Path(folder, 'map.tif'), options, outputs)(inferencer)
        import rasterio

        with rasterio.open(tiled.path) as dataset:
            return dataset.read(1).astype(np.int32), tiled.scores


def score_scene(inferencer: EntityInferencer, mosaic: Mosaic, box: np.ndarray) -> OverlapTable:
    """Predict a scene of a mosaic by itself."""
    x0, y0, x1, y1 = box
    ids, scores = predict(inferencer, mosaic.img[y0:y1, x0:x1], '2x2')
    ground_truth = mosaic.entities.crop(box)
    return _table(ground_truth, EntityMap(ids, len(scores)), scores, 1)


def score(
    mosaic: Mosaic, ids: np.ndarray, scores: np.ndarray, box: np.ndarray, shrink: int = 1
) -> OverlapTable:
    """Compare a part of a map with the ground truth; areas are divided by ``shrink``."""
    predicted = EntityMap(ids, len(scores)).crop(box)
    return _table(mosaic.entities.crop(box), predicted, scores, shrink)


def _table(
    ground_truth: EntityMap, predicted: EntityMap, scores: np.ndarray, shrink: int
) -> OverlapTable:
    ground_truth = ground_truth.select(ground_truth.areas > 0)
    keep = predicted.areas > 0
    predicted, scores = predicted.select(keep), np.asarray(scores, np.float64)[keep]
    number = ground_truth.num_entities
    nothing = np.zeros(number)
    truth = GroundTruth(ground_truth, nothing, ground_truth.areas, nothing.astype(bool))
    table = table_of_map(truth, predicted, scores)
    return replace(table, areas=table.areas / shrink, gt_areas=table.gt_areas / shrink)


def metrics_of(tables: list) -> dict:
    """AP^e and AP^e by size, in percent."""
    with contextlib.redirect_stdout(io.StringIO()):
        stats = 100 * summarize_tables(tables)
    return {f'APe{key}': round(float(stats[place]), 2) for key, place in PRECISIONS.items()}


def measure_memory(case: dict) -> dict:
    """Measure the peak of a tiled run over a TIFF, above that of the model."""
    import rasterio

    inferencer = load_model('tiles') if case['memory'] != 'blank' else Bands()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'large.tif')
        if case['memory'] == 'blank':
            height, width, size, overlap = case['side'], case['side'], 2048, 256
            blank_tiff(path, case['side'])
        else:
            img = draw_mosaic(case['memory'], case['memory'], seed=SEED).img
            height, width, size, overlap = *img.shape[:2], 768, 128
            options = {'height': height, 'width': width, 'count': 3, 'dtype': 'uint8'}
            blocks = {'tiled': True, 'blockxsize': 256, 'blockysize': 256, 'compress': 'deflate'}
            with rasterio.open(path, 'w', driver='GTiff', **options, **blocks) as dataset:
                dataset.write(img.transpose(2, 0, 1))
            del img, dataset
        before = _reset()
        result = TiledPrediction(
            path, Path(folder, 'map.tif'), TileOptions(size, overlap, workers=0)
        )(inferencer)
        return {
            'height': height,
            'width': width,
            'entities': len(result),
            'above_the_model_mib': round(_peak() - before, 1),
        }


def blank_tiff(path: Path, side: int) -> None:
    """Write a large TIFF of colours that change slowly, without holding it."""
    import rasterio
    from rasterio.windows import Window

    options = {'height': side, 'width': side, 'count': 3, 'dtype': 'uint8', 'compress': 'deflate'}
    blocks = {'tiled': True, 'blockxsize': 512, 'blockysize': 512, 'interleave': 'pixel'}
    x = (np.arange(side) // 1000 * 5).astype(np.uint8)
    with (
        rasterio.Env(GDAL_CACHEMAX=1 << 28),
        rasterio.open(path, 'w', driver='GTiff', **options, **blocks) as dataset,
    ):
        for top in range(0, side, 512):
            rows = np.arange(top, min(top + 512, side))
            y = (rows // 1000 * 5).astype(np.uint8)
            band = np.stack(np.broadcast_arrays(y[:, None], x, y[:, None] ^ x))
            dataset.write(band, window=Window(0, top, side, len(rows)))


class Bands:
    """In the place of a model: every colour of a tile is an entity."""

    show_progress = False
    precision = 'fp32'
    loader = None

    def __init__(self) -> None:
        from mmentity.utils.shipped_configs import get_config

        self.cfg, self.model = get_config(MODEL), EntityInferencer(MODEL, device='cpu').model

    def outcomes(self, images: Iterable[InputImage], options: LoadOptions) -> Iterator[Outcome]:
        """Find the entities of tiles."""
        for image in images:
            colours = image.content.astype(np.int32)
            values = (colours[..., 2] << 8) | colours[..., 1]
            entities = EntityMap.from_id_map(values)
            number = entities.num_entities
            scores, labels = np.full(number, 0.9), np.zeros(number, np.int64)
            table = (scores, labels, entities.boxes_xyxy_px, entities.areas)
            yield Outcome(image, EntityResult(image.name, LazyEntityMap(entities), *table))


def _reset() -> float:
    Path('/proc/self/clear_refs').write_text('5')
    return _status('VmRSS')


def _peak() -> float:
    return _status('VmHWM')


def _status(field: str) -> float:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/self/status has no {field}')


if __name__ == '__main__':
    run(__file__, cases(), measure_case, 'tiles')
