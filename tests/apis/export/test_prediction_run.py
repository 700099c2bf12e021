"""Runs over folders: formats, bad images, resume, shards, kills, errors."""

import hashlib
import json
import multiprocessing
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mmentity.apis.export import OutputOptions, PredictionRun, RunOptions
from mmentity.apis.export.file_names import files_of
from mmentity.apis.export.numbering import number_entities
from mmentity.apis.export.writers import ResultWriter, scratch_folder
from mmentity.apis.inputs import InputImage
from tests.apis.conftest import MODEL, contents, make_result, save_scenes, scene, stripes
from tests.apis.test_inputs import write_video
from tests.conftest import ROOT

FORMATS = 'idmap,rle,npz,overlay,cutout'


@pytest.fixture
def predict(predict_tool, weights):
    def run(inputs, out, *options):
        fixed = ('--model', MODEL, '--weights', weights, '--device', 'cpu')
        inputs = inputs if isinstance(inputs, list) else [inputs]
        return predict_tool(*inputs, '--out', out, *fixed, *options)

    return run


def manifest_of(out, name='manifest'):
    return json.loads((out / f'{name}.json').read_text())


def upright(k):
    """A scene that is wider than high, with a mark in its top left corner."""
    img = scene(k)
    img[:12, :20] = 255
    return img


def save_mixed(folder):
    """200 images: 190 plain ones, four that are unusable, six that are odd."""
    save_scenes(folder, 190, '.png', height=32, width=48)
    good = Image.fromarray(upright(0))
    good.save(folder / 'truncated.jpg')
    data = (folder / 'truncated.jpg').read_bytes()
    (folder / 'truncated.jpg').write_bytes(data[: len(data) // 2])
    (folder / 'zero.jpg').write_bytes(b'')
    (folder / 'text.jpg').write_text('this is no image')
    (folder / 'folder.jpg').mkdir()
    good.resize((1, 1)).save(folder / 'one.png')
    good.resize((20000, 10)).save(folder / 'wide.png')
    Image.fromarray(scene(1)).convert('CMYK').save(folder / 'cmyk.jpg', quality=100)
    grey = np.asarray(good.convert('L'), dtype=np.uint16) * 257
    Image.fromarray(grey).save(folder / 'grey16.png')
    palette = good.quantize(32)
    palette.info['transparency'] = 3
    palette.save(folder / 'palette.png', transparency=3)
    exif = good.getexif()
    exif[0x0112] = 6
    good.transpose(Image.ROTATE_90).save(folder / 'rotated.png', exif=exif)
    return folder


BAD = {'truncated', 'zero', 'text', 'folder'}
ODD = {'one': (1, 1), 'wide': (10, 20000), 'cmyk': (48, 64), 'grey16': (48, 64)}
ODD |= {'palette': (48, 64), 'rotated': (48, 64)}


@pytest.fixture(scope='module')
def mixed(tmp_path_factory):
    return save_mixed(tmp_path_factory.mktemp('mixed') / 'images')


def test_two_hundred_mixed_images(predict, mixed, tmp_path, inferencer, capsys):
    out = tmp_path / 'out'
    assert len(list(mixed.iterdir())) == 200
    assert predict(mixed, out) == 1
    assert 'what failed, and why, is in' in capsys.readouterr().err
    manifest = manifest_of(out)
    assert manifest['images'] == {'written': 196, 'skipped': 0, 'failed': 4}
    assert {failure['name'] for failure in manifest['failures']} == BAD
    for failure in manifest['failures']:
        assert failure['path'].endswith(f'{failure["name"]}.jpg')
        assert failure['path'] in failure['reason']
        assert '\n' not in failure['reason']
    assert {path.stem for path in (out / 'idmap').iterdir()} == {
        *map(str, range(190)),
        *ODD,
    }
    for name, size in ODD.items():
        assert cv2.imread(str(out / f'idmap/{name}.png'), cv2.IMREAD_UNCHANGED).shape == size
    # the rotated image is the same as the upright one, pixel by pixel
    for name, image in (('rotated', upright(0)), ('3', scene(3, 32, 48))):
        written = cv2.imread(str(out / f'idmap/{name}.png'), cv2.IMREAD_UNCHANGED)
        expected = inferencer.predict(image[..., ::-1]).select(0.5)
        assert len(expected) > 1
        assert np.array_equal(written, expected.entity_map)
    _only_what_is_missing(predict, mixed, out)


def _only_what_is_missing(predict, mixed, out):
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*.*') if path.is_file()}
    (out / 'idmap' / '7.png').unlink()
    (out / 'entities' / 'wide.json').unlink()
    assert predict(mixed, out, '--skip-existing') == 1
    assert manifest_of(out)['images'] == {'written': 2, 'skipped': 194, 'failed': 4}
    changed = {
        path.relative_to(out).as_posix()
        for path, modified in before.items()
        if path.stat().st_mtime_ns != modified
    }
    assert changed == {
        'manifest.json',
        'idmap/7.png',
        'entities/7.json',
        'idmap/wide.png',
        'entities/wide.json',
    }


def test_a_fixed_image_is_done_by_the_next_call(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 3)
    whole = (folder / '1.png').read_bytes()
    (folder / '1.png').write_bytes(whole[:100])
    assert predict(folder, tmp_path / 'out') == 1
    (folder / '1.png').write_bytes(whole)
    assert predict(folder, tmp_path / 'out', '--skip-existing') == 0
    manifest = manifest_of(tmp_path / 'out')
    assert manifest['images'] == {'written': 1, 'skipped': 2, 'failed': 0}
    assert manifest['finished'] is not None


def test_two_shards_are_one_run(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 7)
    options = ('--format', FORMATS, '--batch-size', 2, '--contact-sheet')
    assert predict(folder, tmp_path / 'whole', *options) == 0
    for part in ('1/2', '2/2'):
        assert predict(folder, tmp_path / 'whole', *options, '--skip-existing') == 0
        assert predict(folder, tmp_path / 'parts', *options, '--shard', part) == 0
    whole, parts = contents(tmp_path / 'whole'), contents(tmp_path / 'parts')
    # the pages differ in the name of their folder
    assert whole.pop('index.html').replace(b'whole', b'parts') == parts.pop('index.html')
    assert whole == parts
    counts = [manifest_of(tmp_path / 'parts', f'manifest.{k}-of-2')['images'] for k in (1, 2)]
    assert [count['written'] for count in counts] == [4, 3]


def test_every_format_holds_the_same_entities(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 2)
    out = tmp_path / 'out'
    drawn = 'fill,contours,ids,scores,legend,side-by-side'
    assert predict(folder, out, '--format', FORMATS, '--draw', drawn, '--min-area', 5) == 0
    ids = cv2.imread(str(out / 'idmap/1.png'), cv2.IMREAD_UNCHANGED)
    sidecar = json.loads((out / 'entities/1.json').read_text())
    entities = sidecar['entities']
    assert [entity['id'] for entity in entities] == np.unique(ids[ids > 0]).tolist()
    assert (sidecar['height'], sidecar['width']) == ids.shape
    arrays = np.load(out / 'npz/1.npz')
    assert arrays['boxes_xyxy'].tolist() == [entity['box_xyxy'] for entity in entities]
    assert np.array_equal(arrays['entity_map'], ids)
    assert arrays['entity_map'].dtype == np.int32
    for entity, rle, score, area in zip(
        entities, json.loads((out / 'rle/1.json').read_text()), arrays['scores'], arrays['areas']
    ):
        mask = ids == entity['id']
        assert np.array_equal(mask_utils.decode(rle['segmentation']).astype(bool), mask)
        assert entity['area'] == rle['area'] == area == mask.sum() >= 5
        assert entity['score'] == pytest.approx(score, abs=1e-5)
        x0, y0, x1, y1 = entity['box_xyxy']
        assert rle['bbox'] == [x0, y0, x1 - x0, y1 - y0]
        cutout = np.asarray(Image.open(out / f'cutout/1/{entity["id"]}.png'))
        assert np.array_equal(cutout[..., 3] > 0, mask[y0:y1, x0:x1])
        assert np.array_equal(cutout[..., :3], scene(1)[y0:y1, x0:x1])
    with Image.open(out / 'overlay/1.jpg') as overlay:
        assert overlay.width > 2 * 64


@pytest.mark.parametrize(
    ('options', 'ids'),
    [
        ({}, {1: 1, 3: 2, 4: 3}),
        ({'ids': 'rank'}, {1: 1, 3: 3, 4: 4}),
        ({'reverse': True}, {4: 1, 3: 2, 1: 3}),
        ({'reverse': True, 'ids': 'rank'}, {4: 2, 3: 3, 1: 5}),
        ({'order': 'area'}, {4: 1, 3: 2, 1: 3}),
        ({'order': 'position'}, {1: 1, 3: 2, 4: 3}),
    ],
)
def test_ids(options, ids):
    """Ids by entity of the model; entity 2 is too small, entity 5 scores too low."""
    result = make_result(stripes([10, 9, 11, 12, 1]), [0.9, 0.8, 0.7, 0.6, 0.4])
    numbered = number_entities(result, OutputOptions(min_area=190, **options))
    expected = np.zeros_like(result.entity_map)
    for entity, number in ids.items():
        expected[result.entity_map == entity] = number
    assert np.array_equal(numbered.id_map(np.uint8), expected)
    assert numbered.ids.tolist() == sorted(ids.values())


def test_sizes_and_areas_are_those_of_what_is_written(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 1, height=96, width=128)
    out = tmp_path / 'out'
    assert predict(folder, out, '--resize', '32x24', '--min-area', 3) == 0
    ids = cv2.imread(str(out / 'idmap/0.png'), cv2.IMREAD_UNCHANGED)
    assert ids.shape == (24, 32)
    for entity in json.loads((out / 'entities/0.json').read_text())['entities']:
        assert entity['area'] == (ids == entity['id']).sum() >= 3


def test_results_of_numbered_images_load_into_coco(predict, tmp_path):
    """Images of COCO are named by their ids."""
    folder = save_scenes(tmp_path / 'in', 2)
    os.rename(folder / '1.png', folder / '000000000139.png')
    out = tmp_path / 'out'
    assert predict(folder, out, '--format', 'rle') == 0
    ground_truth = {'images': [{'id': k, 'height': 48, 'width': 64} for k in (0, 139)]}
    ground_truth |= {'annotations': [], 'categories': [{'id': 1, 'name': 'entity'}]}
    (tmp_path / 'gt.json').write_text(json.dumps(ground_truth))
    results = [row for path in out.glob('rle/*.json') for row in json.loads(path.read_text())]
    loaded = COCO(tmp_path / 'gt.json').loadRes(results)
    assert {loaded.anns[k]['image_id'] for k in loaded.anns} == {0, 139}
    for row, annotation in zip(results, loaded.loadAnns(loaded.getAnnIds())):
        mask = loaded.annToMask(annotation)
        assert mask.sum() == mask_utils.area(row['segmentation'])
        columns, rows = mask.any(axis=0).nonzero()[0], mask.any(axis=1).nonzero()[0]
        size = [np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation['bbox'] == [columns[0], rows[0], *size]


def test_the_manifest_tells_what_made_the_files(predict, weights, tmp_path):
    folder = save_scenes(tmp_path / 'in', 1)
    assert predict(folder, tmp_path / 'out', '--score-thr', 0.3) == 0
    manifest = manifest_of(tmp_path / 'out')
    assert manifest['weights_sha256'] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert manifest['config'].endswith(f'{MODEL}.py')
    assert manifest['outputs']['score_thr'] == 0.3
    assert manifest['failures'] == []
    assert manifest['precision'] == 'fp32'
    assert {'mmentity', 'torch', 'mmcv', 'mmdet'} <= set(manifest['versions'])


def test_files_of_other_options_are_not_mixed(predict, tmp_path, monkeypatch):
    folder = save_scenes(tmp_path / 'in', 1)
    assert predict(folder, tmp_path / 'out') == 0
    code = predict(folder, tmp_path / 'out', '--skip-existing', '--score-thr', 0.3)
    assert 'made with another score_thr (0.5, now 0.3)' in code
    with monkeypatch.context() as patch:
        patch.setattr('mmentity.models.precision.lack_of', lambda *_: None)
        code = predict(folder, tmp_path / 'out', '--skip-existing', '--precision', 'bf16')
    assert 'made with another precision (fp32, now bf16)' in code
    part = ('--shard', '1/2', '--skip-existing', '--min-area', 7)
    assert 'made with another min_area (1, now 7)' in predict(folder, tmp_path / 'out', *part)
    more = ('--skip-existing', '--format', 'idmap,npz,cutout')
    assert predict(folder, tmp_path / 'out', *more) == 0
    assert (tmp_path / 'out/npz/0.npz').is_file()
    assert (tmp_path / 'out/cutout/0/1.png').is_file()
    assert predict(folder, tmp_path / 'out', *more) == 0
    assert manifest_of(tmp_path / 'out')['images']['skipped'] == 1


def test_files_of_another_image_are_not_kept_nor_replaced(predict, tmp_path, monkeypatch):
    """Two calls, of which each would write a.png."""
    one, two = (save_scenes(tmp_path / name, 1) / '0.png' for name in ('t1', 't2'))
    out = tmp_path / 'out'
    assert predict(one, out) == 0
    before = contents(out)
    for options in ((), ('--skip-existing',), ('--skip-existing', '--shard', '1/2')):
        message = predict(two, out, *options)
        assert f'0.json and what belongs to it are of {one}, and would become' in message
        assert str(two) in message
    assert contents(out) == before
    assert predict(one, out, '--skip-existing') == 0
    assert manifest_of(out)['images'] == {'written': 0, 'skipped': 1, 'failed': 0}
    monkeypatch.chdir(one.parent)
    assert predict('0.png', out, '--skip-existing') == 0
    # by the path below a root, both fit, in one call or in two
    for inputs in (one, two, [one, two]):
        assert predict(inputs, tmp_path / 'split', '--root', tmp_path, '--skip-existing') == 0
    names = {str(p.relative_to(tmp_path)) for p in (tmp_path / 'split/idmap').rglob('*.png')}
    assert names == {'split/idmap/t1/0.png', 'split/idmap/t2/0.png'}


def test_scenes_of_two_roots_do_not_share_a_sequence(predict, tmp_path):
    for root in 'ab':
        save_scenes(tmp_path / root / 'scene' / 'color', 1)
    preset = ('--preset', 'onlineanyseg')
    assert predict(tmp_path / 'a/scene/color', tmp_path / 'out', *preset) == 0
    message = predict(tmp_path / 'b/scene/color', tmp_path / 'out', *preset, '--skip-existing')
    assert 'a/scene/color/0.png' in message
    assert 'b/scene/color/0.png' in message


def test_a_changed_image_is_not_taken_for_done(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 2)
    out = tmp_path / 'out'
    assert predict(folder, out) == 0
    Image.fromarray(scene(7)).save(folder / '1.png')
    message = predict(folder, out, '--skip-existing')
    assert re.search(r'1.json is of .*/1.png of .* bytes, which has become .*/1.png of', message)
    assert predict(folder, out) == 0
    assert predict(folder, out, '--skip-existing') == 0
    assert manifest_of(out)['images']['skipped'] == 2


def test_frames_of_another_video_fail(predict, tmp_path):
    """Videos are looked into as their turn comes."""
    for name in 'ab':
        write_video(tmp_path / name / 'walk.avi', 2)
    out = tmp_path / 'out'
    assert predict(tmp_path / 'a/walk.avi', out) == 0
    assert predict(tmp_path / 'b/walk.avi', out, '--skip-existing') == 1
    failures = manifest_of(out)['failures']
    assert [failure['cause'] for failure in failures] == ['other-source'] * 2
    assert predict(tmp_path / 'a/walk.avi', out, '--skip-existing') == 0
    assert manifest_of(out)['images']['skipped'] == 2


def test_images_in_memory_cannot_be_skipped(inferencer, tmp_path):
    run = RunOptions(skip_existing=True)
    with pytest.raises(ValueError, match='images in memory cannot be told apart'):
        PredictionRun(scene(0), tmp_path, options=run)
    for k in range(2):
        PredictionRun(scene(k), tmp_path)(inferencer)
    record = json.loads((tmp_path / 'entities/000000.json').read_text())
    assert record['source'] is None


def test_two_inputs_of_one_file_name_are_refused_before_the_work(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 2)
    Image.fromarray(scene(0)).save(folder / '1.jpg')
    message = predict(folder, tmp_path / 'out')
    assert '1.jpg and ' in message
    assert 'would both be written as idmap/1.png; give a --layout' in message
    assert predict(folder, tmp_path / 'out', '--layout', '{name}_{suffix}') == 0
    assert (tmp_path / 'out/idmap/1_jpg.png').is_file() is False
    assert {path.name for path in (tmp_path / 'out').glob('*.png')} == {
        '0_png.png',
        '1_jpg.png',
        '1_png.png',
    }
    video = write_video(folder / 'walk.avi', 1)
    Image.fromarray(scene(0)).save(save_scenes(folder / 'walk', 0) / '000000.png')
    message = predict([video, folder / 'walk/000000.png'], tmp_path / 'out2', '--root', folder)
    assert 'would both be written as idmap/walk/000000.png' in message


class Handmade:
    """Stands for an inferencer; the image named 1 has 256 entities, others have three."""

    show_progress, has_features = False, False

    classes = ('entity',)

    def __init__(self, inferencer):
        self.origin, self.device, self.precision = inferencer.origin, inferencer.device, 'fp32'

    def outcomes(self, images, reading):
        for image in images:
            number = 256 if image.name == '1' else 3
            scores = np.linspace(0.9, 0.8, number)
            yield image, make_result(stripes([2] * number), scores, image.name)


def test_too_many_entities_for_uint8_fail_one_image(inferencer, tmp_path):
    folder = save_scenes(tmp_path / 'in', 3)
    run = PredictionRun(folder, tmp_path / 'out', OutputOptions(id_dtype='uint8'))
    manifest = run(Handmade(inferencer))
    assert manifest.written == 2
    (failure,) = manifest.failures
    assert failure['name'] == '1'
    assert 'ids up to 256, uint8 holds 255; write uint16 (--id-dtype uint16)' in failure['reason']
    PredictionRun(folder, tmp_path / 'auto')(Handmade(inferencer))
    for name, dtype in (('0', np.uint8), ('1', np.uint16)):
        ids = cv2.imread(str(tmp_path / f'auto/idmap/{name}.png'), cv2.IMREAD_UNCHANGED)
        assert ids.dtype == dtype
        assert len(np.unique(ids)) in (3, 256)


def test_the_contact_sheet_refers_to_files_that_are_there(predict, tmp_path):
    folder = save_scenes(tmp_path / 'a b & c', 3)
    (folder / 'bad.png').write_text('<b>no image</b>')
    out = tmp_path / 'out'
    assert predict(folder, out, '--contact-sheet', '--format', 'idmap,overlay') == 1
    page = (out / 'index.html').read_text()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 9
    for link in links:
        assert (out / unquote(link)).is_file()
    assert '1 failed' in page
    assert 'http' not in page.replace('</html>', '')


def test_mistakes_end_with_one_line(predict, predict_tool, weights, tmp_path):
    folder = save_scenes(tmp_path / 'in', 1)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').write_text('')
    out = tmp_path / 'out'
    for code, message in (
        (predict(tmp_path / 'empty', out), 'holds no image'),
        (predict(tmp_path / 'none', out), 'does not exist'),
        (predict(folder, tmp_path / 'file'), 'is a file; --out names a folder'),
        (predict(folder, out, '--format', 'png'), "format is 'png'; it must be one of idmap, rle"),
        (predict(folder, out, '--score-thr', 50), 'score-thr is 50.0; scores are in 0..1'),
        (predict(folder, out, '--shard', '3/2'), 'shard is 3/2'),
        (predict(folder, out, '--sequence', '../x'), "sequence is '../x'; it is the name of one"),
        (predict(folder, out, '--resize-first'), 'resize-first needs resize'),
        (predict(folder, out, '--device', 'cuda:9'), "device 'cuda:9' cannot be used"),
        (predict(folder, out, '--model', 'nothing'), "no config 'nothing'"),
        (predict(folder, out, '--model', 'cropformer_swin-nano_demo'), 'do not fit the model'),
    ):
        assert code.startswith('mmentity predict: ')
        assert message in code
        assert '\n' not in code
    assert not out.exists()
    assert predict(folder, out, '--resize', '640') == 2


def test_a_full_disk_ends_the_run(predict, tmp_path, monkeypatch):
    folder = save_scenes(tmp_path / 'in', 5)

    def full(self, *arguments):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(ResultWriter, 'write', full)
    assert 'No space left on device' in predict(folder, tmp_path / 'out')
    assert manifest_of(tmp_path / 'out')['finished'] is None


def write_forever(out, seed):
    """Write results over and over, until killed."""
    image = np.random.default_rng(seed).integers(0, 255, (200, 400, 3), np.uint8)
    result = make_result(stripes([4] * 100, 200), np.linspace(0.9, 0.6, 100), '0', image=image)
    options = OutputOptions(formats=tuple(FORMATS.split(',')), sheet=True)
    with scratch_folder(out) as scratch:
        writer = ResultWriter(out, scratch, options)
        for k in range(10000):
            writer.write(result, files_of(InputImage(str(k % 5)), options))


def check_whole(out):
    """Every file under its name is whole."""
    for path in out.rglob('*'):
        if '.partial' in path.parts or path.is_dir():
            continue
        if path.suffix == '.json':
            json.loads(path.read_text())
        elif path.suffix == '.npz':
            assert np.load(path)['entity_map'].shape == (200, 400)
        else:
            with Image.open(path) as image:
                image.load()


def test_a_kill_at_any_moment_leaves_no_half_file(tmp_path):
    context = multiprocessing.get_context('fork')
    rng = random.Random(0)
    for seed in range(8):
        writer = context.Process(target=write_forever, args=(tmp_path, seed))
        writer.start()
        while not (tmp_path / '.partial' / f'{socket.gethostname()}-{writer.pid}').is_dir():
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.5))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert len(list((tmp_path / '.partial').iterdir())) <= 1
        check_whole(tmp_path)
    assert any((tmp_path / 'idmap').iterdir())
    with scratch_folder(tmp_path):
        pass
    assert not (tmp_path / '.partial').exists()


@pytest.mark.slow
def test_a_killed_command_is_resumed(mixed, weights, tmp_path):
    line = [
        sys.executable, ROOT / 'tools/predict.py', mixed, '--model', MODEL, '--weights', weights,
        '--device', 'cpu', '--out', tmp_path / 'out',
    ]  # fmt: skip
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    process = subprocess.Popen(
        [str(word) for word in line], env=environment, stderr=subprocess.DEVNULL
    )
    while len(list(tmp_path.glob('out/entities/*.json'))) < 40 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    names = {path.stem for path in tmp_path.glob('out/entities/*.json')}
    assert 40 <= len(names) < 196
    for name in names:
        json.loads((tmp_path / f'out/entities/{name}.json').read_text())
        assert cv2.imread(str(tmp_path / f'out/idmap/{name}.png'), -1) is not None
    done = subprocess.run(
        [str(word) for word in line] + ['--skip-existing'],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    written = manifest_of(tmp_path / 'out')['images']
    assert written == {'written': 196 - len(names), 'skipped': len(names), 'failed': 4}
    assert not (tmp_path / 'out' / '.partial').exists()


def test_relative_paths(predict, tmp_path):
    save_scenes(tmp_path / 'in', 1)
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert predict('in', 'out') == 0
    finally:
        os.chdir(before)
    assert (tmp_path / 'out/idmap/0.png').is_file()
