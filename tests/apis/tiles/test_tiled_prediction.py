"""From an image to the joined map, with a stand-in for the model, and with a model."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from mmentity.apis.export import OutputOptions
from mmentity.apis.tiles import TiledPrediction, TileOptions
from mmentity.datasets import SampleError
from tests.apis.conftest import MODEL, scene
from tests.apis.tiles.conftest import blobs, partition, save_ids
from tests.conftest import ROOT

ALL = OutputOptions(score_thr=0)


def read(path):
    return np.asarray(Image.open(path)).astype(np.int64)


def tile(image, out, inferencer, outputs=ALL, **options):
    options = {'size': 64, 'overlap': 24, **options}
    return TiledPrediction(image, out, TileOptions(**options), outputs)(inferencer)


@pytest.mark.parametrize('size', [(200, 260), (64, 300), (301, 64), (65, 65)])
@pytest.mark.parametrize('number', [6, 25])
def test_tiles_that_agree_give_the_map_of_the_whole(size, number, oracle, tmp_path):
    ids = blobs(*size, number)
    out = tmp_path / 'maps' / 'blobs.png'
    result = tile(save_ids(ids, tmp_path / 'blobs.png'), out, oracle())
    found = read(out)
    assert np.array_equal(found > 0, ids > 0)
    assert np.array_equal(partition(found), partition(ids))
    assert len(result) == found.max() == len(np.setdiff1d(found, [0]))
    assert np.array_equal(result.areas, np.bincount(found.ravel())[1:])
    for number, (x0, y0, x1, y1) in zip(result.ids, result.boxes_xyxy_px):
        y, x = np.nonzero(found == number)
        assert (x.min(), y.min(), x.max() + 1, y.max() + 1) == (x0, y0, x1, y1)


def test_entities_stay_one_over_seams_where_tiles_see_a_little_else(oracle, tmp_path):
    ids = np.ones((260, 330), np.int32)
    ids[:, 200:] = 2
    ids[100:130, 10:320] = 3
    ids[20:90, 30:50] = 4
    image = save_ids(ids, tmp_path / 'drawn.png')
    result = tile(image, tmp_path / 'map.png', oracle(jitter=3))
    found = read(tmp_path / 'map.png')
    overlaps = [np.bincount(found[ids == number]).argmax() for number in (1, 2, 3, 4)]
    assert len(set(overlaps)) == 4
    for number, k in zip((1, 2, 3, 4), overlaps):
        both = ((ids == number) & (found == k)).sum()
        assert both / ((ids == number) | (found == k)).sum() > 0.8
    assert result.areas[:4].sum() > 0.99 * ids.size


def test_ids_follow_the_order_and_the_score_is_that_of_the_pixels(oracle, tmp_path):
    ids = blobs(150, 180, 12)
    image = save_ids(ids, tmp_path / 'blobs.png')
    by_score = tile(image, tmp_path / 'a.png', oracle())
    assert (np.diff(by_score.scores) <= 0).all()
    assert ((by_score.scores >= 0.6) & (by_score.scores <= 0.9)).all()
    by_area = tile(image, tmp_path / 'b.png', oracle(), OutputOptions(order='area', score_thr=0))
    assert (np.diff(by_area.areas) <= 0).all()
    same = tile(image, tmp_path / 'c.png', oracle(score=0.7))
    assert same.scores == pytest.approx(np.full(len(same), 0.7))
    # of equal scores the one whose first tile comes first
    assert (np.diff(same.boxes_xyxy_px[:, 1] // 64) >= -1).all()
    few = tile(image, tmp_path / 'd.png', oracle(), OutputOptions(score_thr=0, min_area=2000))
    assert set(few.areas) == {area for area in by_score.areas if area >= 2000}
    ranks = tile(
        image, tmp_path / 'e.png', oracle(), OutputOptions(score_thr=0, min_area=2000, ids='rank')
    )
    assert set(ranks.ids) == {k for k, area in zip(by_score.ids, by_score.areas) if area >= 2000}
    assert set(np.unique(read(tmp_path / 'e.png'))) - {0} == set(ranks.ids)


def test_the_table_says_what_the_map_holds(oracle, tmp_path):
    image = save_ids(blobs(100, 90, 5), tmp_path / 'in' / 'blobs.png')
    result = tile(image, tmp_path / 'maps' / 'blobs.png', oracle())
    record = json.loads((tmp_path / 'maps' / 'blobs.json').read_text())
    assert record['entities'] == result.records()
    assert (record['name'], record['width'], record['height']) == ('blobs', 90, 100)
    assert record['files'] == {'idmap': 'blobs.png'}
    assert record['source']['path'] == str(image)
    assert sorted(path.name for path in (tmp_path / 'maps').iterdir()) == [
        'blobs.json',
        'blobs.png',
    ]


def test_a_stopped_run_goes_on_with_equal_bytes(oracle, tmp_path):
    image = save_ids(blobs(200, 200, 20), tmp_path / 'blobs.png')
    whole = oracle(score=0.8)
    tile(image, tmp_path / 'whole' / 'map.png', whole)
    out = tmp_path / 'stopped' / 'map.png'
    with pytest.raises(KeyboardInterrupt):
        tile(image, out, oracle(stop_after=7, score=0.8))
    assert not out.exists()
    assert len(list((tmp_path / 'stopped' / 'map.png.tiles').glob('*.npz'))) == 7
    # what a power failure leaves
    (tmp_path / 'stopped' / 'map.png.tiles' / '0-3.npz').write_bytes(b'PK half')
    rest = oracle(score=0.8)
    tile(image, out, rest)
    assert len(rest.seen) == len(whole.seen) - 6
    for name in ('map.png', 'map.json'):
        assert (out.parent / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()
    assert not (tmp_path / 'stopped' / 'map.png.tiles').exists()


def test_kept_tiles_are_joined_anew(oracle, tmp_path):
    image = save_ids(blobs(150, 150, 9), tmp_path / 'blobs.png')
    first = tile(image, tmp_path / 'map.png', oracle(), keep=True)
    again = oracle()
    result = tile(image, tmp_path / 'map.png', again, OutputOptions(score_thr=0, min_area=3000))
    assert again.seen == []
    assert 0 < len(result) < len(first)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda image, more: more.update(overlap=30), 'are of another grid'),
        (lambda image, more: save_ids(blobs(150, 150, 4), image), 'are of another image'),
    ],
)
def test_tiles_of_something_else_are_refused(change, message, oracle, tmp_path):
    image, more = save_ids(blobs(150, 150, 9), tmp_path / 'blobs.png'), {}
    tile(image, tmp_path / 'map.png', oracle(), keep=True)
    change(image, more)
    with pytest.raises(ValueError, match=f'{message}.*remove that folder'):
        tile(image, tmp_path / 'map.png', oracle(), **more)


def test_tiles_of_another_model_are_refused(inferencer, oracle, tmp_path):
    image = save_ids(blobs(80, 80, 4), tmp_path / 'blobs.png')
    tile(image, tmp_path / 'map.png', oracle(), keep=True)
    bias = inferencer.model.panoptic_head.cls_embed.bias.data
    bias += 1
    try:
        with pytest.raises(ValueError, match='are of another model'):
            tile(image, tmp_path / 'map.png', oracle())
    finally:
        bias -= 1


def test_a_folder_of_something_else_is_left_alone(oracle, tmp_path):
    folder = tmp_path / 'map.png.tiles'
    folder.mkdir()
    (folder / 'mine.txt').write_text('')
    with pytest.raises(ValueError, match='holds no tiles'):
        tile(scene(0), tmp_path / 'map.png', oracle())
    assert (folder / 'mine.txt').exists()


def test_tiles_without_entities(oracle, tmp_path):
    ids = np.zeros((150, 150), np.int32)
    ids[100:120, 100:120] = 5
    result = tile(save_ids(ids, tmp_path / 'blobs.png'), tmp_path / 'map.png', oracle())
    assert result.areas.tolist() == [400]
    assert np.array_equal(read(tmp_path / 'map.png'), ids // 5)
    ids[:] = 0
    assert len(tile(save_ids(ids, tmp_path / 'b.png'), tmp_path / 'none.png', oracle())) == 0
    assert read(tmp_path / 'none.png').max() == 0


def test_an_image_smaller_than_a_tile_is_predicted_as_a_whole(inferencer, tmp_path):
    Image.fromarray(scene(3)).save(tmp_path / 'scene.png')
    expected = inferencer.predict(tmp_path / 'scene.png')
    result = tile(tmp_path / 'scene.png', tmp_path / 'map.png', inferencer, size=512, overlap=64)
    assert len(expected) > 1
    assert np.array_equal(read(tmp_path / 'map.png'), expected.entity_map)
    assert result.scores == pytest.approx(expected.scores)
    assert np.array_equal(result.boxes_xyxy_px, expected.boxes_xyxy_px)


def test_tiles_go_through_the_network_in_batches(inferencer, tmp_path):
    image = scene(4, 96, 160)
    tile(image, tmp_path / 'one.png', inferencer)
    tile(image, tmp_path / 'two.png', inferencer, batch_size=3, workers=0)
    assert len(np.unique(read(tmp_path / 'one.png'))) > 2
    for suffix in ('.png', '.json'):
        one, two = (tmp_path / f'{name}{suffix}' for name in ('one', 'two'))
        assert one.read_bytes().replace(b'one', b'two') == two.read_bytes()


def test_more_ids_than_a_png_holds(oracle, tmp_path):
    rasterio = pytest.importorskip('rasterio', reason='the extra tiles is not installed')
    ids = np.arange(1, 300 * 260 + 1, dtype=np.int32).reshape(260, 300)
    image = save_ids(ids, tmp_path / 'pixels.png')
    options = {'size': 300, 'overlap': 2, 'keep': True}
    with pytest.raises(ValueError, match='ids up to 78,000, a PNG holds 65,535; write a TIFF'):
        tile(image, tmp_path / 'map.png', oracle(), **options)
    assert list((tmp_path / 'map.png.tiles').glob('*.npz'))
    tile(image, tmp_path / 'map.tif', oracle(), **options)
    with rasterio.open(tmp_path / 'map.tif') as dataset:
        found = dataset.read(1)
    assert found.dtype == np.uint32
    assert np.array_equal(np.unique(found), np.arange(1, ids.size + 1))


def test_finished_tiles_of_a_truncated_file_stay(oracle, tmp_path):
    rasterio = pytest.importorskip('rasterio', reason='the extra tiles is not installed')
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 3, (3, 256, 256)).astype(np.uint8)
    size = {'height': 256, 'width': 256, 'count': 3, 'dtype': 'uint8'}
    blocks = {'tiled': True, 'blockxsize': 64, 'blockysize': 64, 'compress': 'deflate'}
    path = tmp_path / 'cut.tif'
    with rasterio.open(path, 'w', driver='GTiff', **size, **blocks) as dataset:
        dataset.write(noise)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(SampleError, match='cut.tif is damaged at the rows'):
        tile(path, tmp_path / 'map.tif', oracle(), workers=0)
    assert len(list((tmp_path / 'map.tif.tiles').glob('*.npz'))) >= 5
    assert not (tmp_path / 'map.tif').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'iou_thr': 0}, 'the IoU of parts is 0'),
        ({'overlap': 40}, 'share 40 px; it must be 1 to 32'),
        ({'batch_size': 0}, 'batch_size is 0'),
    ],
)
def test_wrong_options_are_named(options, message, oracle, tmp_path):
    with pytest.raises(ValueError, match=message):
        tile(scene(0), tmp_path / 'map.png', oracle(), **options)


CODE = """
import sys
from mmentity.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_command_goes_on_with_equal_bytes(weights, predict_tool, tmp_path, monkeypatch):
    Image.fromarray(scene(5, 160, 240)).save(tmp_path / 'large.png')
    line = (
        tmp_path / 'large.png', '--model', MODEL, '--weights', weights, '--device', 'cpu',
        '--tile', 48, '--score-thr', 0
    )  # fmt: skip
    assert predict_tool(*line, '--out', tmp_path / 'whole') == 0
    command = [sys.executable, '-c', CODE, 'predict', *map(str, line)]
    killed = subprocess.Popen(
        [*command, '--out', str(tmp_path / 'killed')], cwd=ROOT, stderr=subprocess.PIPE
    )
    tiles = tmp_path / 'killed' / 'idmap' / 'large.png.tiles'
    while killed.poll() is None and len(list(tiles.glob('*.npz'))) < 2:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    done = len(list(tiles.glob('*.npz')))
    assert 2 <= done < 24
    assert predict_tool(*line, '--out', tmp_path / 'killed') == 0
    for name in ('idmap/large.png', 'entities/large.json'):
        whole, resumed = (tmp_path / folder / name for folder in ('whole', 'killed'))
        assert whole.read_bytes() == resumed.read_bytes()
    assert not tiles.exists()


def test_a_command_over_several_images(weights, predict_tool, tmp_path, capsys):
    for k in range(2):
        Image.fromarray(scene(k, 80, 96)).save(tmp_path / f'{k}.png')
    (tmp_path / 'x.png').write_bytes(b'no image')
    line = (
        tmp_path, '--model', MODEL, '--weights', weights, '--device', 'cpu',
        '--tile', 64, '--score-thr', 0, '--out', tmp_path / 'maps'
    )  # fmt: skip
    assert predict_tool(*line) == 1
    assert capsys.readouterr().out.count('entities\n') == 2
    assert {path.name for path in (tmp_path / 'maps/idmap').iterdir()} == {'0.png', '1.png'}
    assert predict_tool(*line, '--skip-existing') == 1
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--tile', 64, '--out', 'maps', '--preset', 'corrclip'), '--preset does not go with'),
        (('--tile', 64, '--out', 'maps', '--format', 'npz'), '--format does not go with --tile'),
        (('--tile', 64), '--tile needs --out'),
        (('--tile', 64, '--tile-overlap', 50, '--out', 'maps'), 'share 50 px; it must be 1 to 32'),
    ],
)
def test_options_that_do_not_go_with_tiles(options, message, weights, predict_tool, tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / 'a.png')
    said = predict_tool(tmp_path / 'a.png', '--model', MODEL, '--weights', weights, *options)
    assert message in said
