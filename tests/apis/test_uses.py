"""Fifty-one uses of a pipeline user and labeller: what is given, and what happens.

``USES`` is the table; each use names its test, here or beside its code. Numbers in the
names of tests are those of the table.
"""

import ast
import io
import json
import logging
import os
import re
import sys
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from mmentity.apis.export.writers import ResultWriter
from mmentity.datasets import images
from tests.apis.conftest import MODEL, save_scenes, scene
from tests.conftest import ROOT


class Use(NamedTuple):
    """What is given, what happens, and the test of it: a file, or a function in a file."""

    given: str
    happens: str
    test: str


RUN = 'tests/apis/export/test_prediction_run.py::'
PRESETS = 'tests/apis/export/test_presets.py::'
INPUTS = 'tests/apis/test_inputs.py::'
INFERENCER = 'tests/apis/test_inferencer.py::'
HERE = 'tests/apis/test_uses.py::'
WEB = 'tests/apis/test_web.py'
USES = {
    1: Use('predict --help', 'all options', HERE + 'test_01_help'),
    2: Use('wrong arguments', 'one line, exit 2', RUN + 'test_mistakes_end_with_one_line'),
    3: Use('one file', 'one map; a sign of life at once, then count, model, weights, device',
           HERE + 'test_03_what_a_run_says'),
    4: Use('a folder with folders and links', 'its files; the folders are counted, --recursive',
           INPUTS + 'test_what_is_left_out_is_counted'),
    5: Use('a glob with **', 'each file once',
           INPUTS + 'test_names_do_not_depend_on_how_inputs_are_split_over_calls'),
    6: Use('videos', 'all frames', INPUTS + 'test_a_video_is_its_frames'),
    7: Use('a GIF', 'in a folder counted as left out; by its name the first frame, which is said; '
           '--frames takes all', HERE + 'test_07_and_08_frames'),
    8: Use('TIFF, WebP, APNG of several frames', 'the first frame, which is said once; --frames',
           HERE + 'test_07_and_08_frames'),
    9: Use('CMYK, palette, alpha, 16 bits, EXIF', 'maps of the upright image',
           RUN + 'test_two_hundred_mixed_images'),
    10: Use('12 bits in a 16-bit PNG', 'scaled by 12 bits, which is said once; --depth',
            HERE + 'test_10_values_of_12_bits'),
    11: Use('HEIC', 'read with the extra heif; else counted, and by its name the command',
            HERE + 'test_11_heic'),
    12: Use('empty, text, cut, float files', 'fail by name, the run goes on, no object in reasons',
            HERE + 'test_12_and_14_reasons'),
    13: Use('a large image', 'a map', 'tests/models/test_memory.py'),
    14: Use('more pixels than Pillow allows', 'fails with the limit and --max-pixels',
            HERE + 'test_12_and_14_reasons'),
    15: Use('1 x 1, a wide one', 'maps', RUN + 'test_two_hundred_mixed_images'),
    16: Use('odd characters in names', 'maps of those names', HERE + 'test_16_odd_names'),
    17: Use('names as long as they can be', 'the longest that fit are written, others fail alone',
            HERE + 'test_17_long_names'),
    18: Use('a name that is not UTF-8', 'it fails by name, the others and the page are written',
            HERE + 'test_18_names_that_are_no_text'),
    19: Use('a.jpg beside a.png', "refused before the work; --layout '{name}_{suffix}'",
            RUN + 'test_two_inputs_of_one_file_name_are_refused_before_the_work'),
    20: Use('a linked image or folder', 'works',
            INPUTS + 'test_a_folder_with_what_is_below_is_visited_once'),
    21: Use('** through a circle of links', 'each file once',
            INPUTS + 'test_a_folder_with_what_is_below_is_visited_once'),
    22: Use('an output folder that cannot be written to', 'one line, exit 2',
            HERE + 'test_22_unwritable_output'),
    23: Use('a full disk', 'the run ends, no torn file', RUN + 'test_a_full_disk_ends_the_run'),
    24: Use('Ctrl-C', 'stops; the manifest is not finished', HERE + 'test_24_interruption'),
    25: Use('SIGKILL, then --skip-existing', 'goes on', RUN + 'test_a_killed_command_is_resumed'),
    26: Use('--skip-existing with other options', 'refused with both values',
            RUN + 'test_files_of_other_options_are_not_mixed'),
    27: Use('another image of the same name', 'refused with both paths',
            RUN + 'test_files_of_another_image_are_not_kept_nor_replaced'),
    28: Use('shards', 'together the run', RUN + 'test_two_shards_are_one_run'),
    29: Use('- or --list FILE', 'the names in it', HERE + 'test_29_lists'),
    30: Use('--every 3 over three scenes', '0, 3, 6 of each',
            INPUTS + 'test_every_counts_for_each_folder_and_each_video'),
    31: Use('wrong or odd options', 'one line, exit 2', RUN + 'test_mistakes_end_with_one_line'),
    32: Use('thresholds that leave nothing', 'a warning with the best score',
            HERE + 'test_32_thresholds_that_leave_nothing'),
    33: Use('code of the tutorials', 'runs', 'tests/apis/test_tutorials.py::test_code_runs'),
    34: Use('path, Path, PIL, array', 'the same map',
            INFERENCER + 'test_all_kinds_of_input_give_the_same'),
    35: Use('a generator', 'one result each, as they are taken',
            INFERENCER + 'test_a_stream_takes_from_its_inputs_as_results_are_taken'),
    36: Use('[array, path, path]', 'three results in order',
            INFERENCER + 'test_a_call_returns_one_result_for_each_input_in_order'),
    37: Use('floats, tensors, bytes', 'a clear error', INPUTS + 'test_other_inputs_are_refused'),
    38: Use('boxes, masks, scores for other libraries', 'agree with the map',
            INFERENCER + 'test_a_result_describes_its_map'),
    39: Use('polygons', 'make the very mask in pycocotools, none is empty',
            'tests/structures/test_outlines.py::test_polygons_of_predictions'),
    40: Use('rle/*.json in COCO.loadRes', 'loads where names are the ids',
            RUN + 'test_results_of_numbered_images_load_into_coco'),
    41: Use('300 images', 'flat memory', 'benchmarks/prediction.py'),
    42: Use('a batch', 'the same maps', INFERENCER + 'test_batches_change_nothing'),
    43: Use('the extra web', 'the page', WEB),
    44: Use('a photo on the page', 'entities and downloads', WEB),
    45: Use('odd names and paths on the page', 'refused or quoted', WEB),
    46: Use('a large upload', 'see the page', WEB),
    47: Use('two users of the page', 'see the page', WEB),
    48: Use('the page on a phone', 'see the page', WEB),
    49: Use('the contact sheet', 'links lead to files',
            RUN + 'test_the_contact_sheet_refers_to_files_that_are_there'),
    50: Use('own id maps', 'train', 'tests/datasets/test_own_data.py'),
    51: Use('own COCO json with faults', 'see the data', 'tests/datasets/test_rules.py'),
}  # fmt: skip


def test_each_use_has_its_test():
    assert sorted(USES) == list(range(1, 52))
    for use in USES.values():
        path, _, function = use.test.partition('::')
        tree = ast.parse((ROOT / path).read_text(encoding='utf-8'))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not function or function in names, use


@pytest.fixture
def predict(predict_tool, weights):
    def run(*arguments):
        return predict_tool(*arguments, '--model', MODEL, '--weights', weights, '--device', 'cpu')

    return run


@pytest.fixture
def said(monkeypatch):
    """What is said once in a process, as if nothing had been said."""
    monkeypatch.setattr(images, '_SAID', set())


class Log(logging.Handler):
    """Messages that are logged, without their time."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def log():
    handler, logger = Log(), MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield handler.messages
    logger.removeHandler(handler)


def failures_of(out):
    manifest = json.loads((out / 'manifest.json').read_text())
    return {failure['name']: failure for failure in manifest['failures']}


def test_01_help(predict_tool, capsys):
    assert predict_tool('--help') == 0
    text = capsys.readouterr().out
    for option in ('--recursive', '--frames', '--list', '--root', '--depth', '--max-pixels'):
        assert option in text
    assert '{sequence}' in text


def test_03_what_a_run_says(predict, tmp_path, capsys, log, weights):
    folder = save_scenes(tmp_path / 'in', 3)
    (folder / 'bad.png').write_text('no image')
    (folder / 'below').mkdir()
    assert predict(folder, '--out', tmp_path / 'out') == 1
    out, err = capsys.readouterr()
    assert err.startswith('mmentity predict: PyTorch is loading\n')
    assert log[0] == '4 images; 1 folder left out (--recursive for more)'
    assert log[1] == f'{MODEL} with {weights} on cpu in fp32'
    assert re.match(r'1 of 4 images, [\d.]+ a second, 0:0\d left$', log[2])
    assert out.startswith('3 written, 0 skipped, 1 failed in 0:0')
    assert re.search(r'\d images a second\nentities of an image: \d+ to \d+, [\d.]+ on av', out)
    assert out.endswith('failed: 1 bad-image\n')
    manifest = json.loads((tmp_path / 'out/manifest.json').read_text())
    counts = [
        len(json.loads(path.read_text())['entities'])
        for path in (tmp_path / 'out/entities').iterdir()
    ]
    mean = pytest.approx(np.mean(counts), abs=0.01)
    assert manifest['entities'] == {'fewest': min(counts), 'mean': mean, 'most': max(counts)}
    assert manifest['causes'] == {'bad-image': 1}


@pytest.mark.parametrize('suffix', ['.gif', '.tif', '.webp', '.png'])
def test_07_and_08_frames(predict, tmp_path, said, log, suffix):
    frames = [Image.fromarray(scene(k)) for k in range(3)]
    path = tmp_path / f'move{suffix}'
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert predict(path, '--out', tmp_path / 'one') == 0
    message = f'{path} has 3 frames or pages, of which the first is taken'
    assert sum(line.startswith(message) for line in log) == 1
    assert os.listdir(tmp_path / 'one/idmap') == ['move.png']
    assert predict(path, '--frames', '--every', 2, '--out', tmp_path / 'all') == 0
    assert sorted(os.listdir(tmp_path / 'all/idmap/move')) == ['000000.png', '000002.png']


def test_10_values_of_12_bits(predict, inferencer, tmp_path, said, log):
    folder = tmp_path / 'in'
    folder.mkdir()
    grey = np.asarray(Image.fromarray(scene(0)).convert('L'))
    deep = (grey.astype(np.uint16) << 4) + (grey >> 4)
    Image.fromarray(deep).save(folder / 'grey.png')
    colours = (scene(0).astype(np.uint16) << 4) + (scene(0) >> 4)
    cv2.imwrite(str(folder / 'colour.png'), colours[..., ::-1])
    for values, name in ((np.dstack([deep] * 3), 'grey'), (colours[..., ::-1], 'colour')):
        bgr = (values.astype(int) * 255 // 4095).astype(np.uint8)
        expected = inferencer.predict(bgr).select(0.5)
        for depth in ('auto', '12'):
            out = tmp_path / f'{name}_{depth}'
            assert predict(folder / f'{name}.png', '--out', out, '--depth', depth) == 0
            written = cv2.imread(str(out / f'idmap/{name}.png'), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(written, expected.entity_map), (name, depth)
    assert sum('and is taken for an image of 12 bits' in line for line in log) == 1
    assert predict(folder / 'grey.png', '--out', tmp_path / 'few', '--depth', '10') == 1
    reason = failures_of(tmp_path / 'few')['grey']['reason']
    assert '10 bits hold 0..1023; --depth 12 or auto holds it' in reason


def test_11_heic(predict, tmp_path):
    path = tmp_path / 'in' / 'photo.heic'
    path.parent.mkdir()
    if '.heic' in images.EXTRA_SUFFIXES:
        Image.fromarray(scene(0)).save(path)
        assert predict(path.parent, '--out', tmp_path / 'out') == 0
        assert (tmp_path / 'out/idmap/photo.png').is_file()
        return
    path.write_bytes(b'....ftypheic')
    assert predict(path, '--out', tmp_path / 'out') == 1
    reason = failures_of(tmp_path / 'out')['photo']['reason']
    assert reason.endswith('pip install "mmentity[heif]" to read it')


def test_12_and_14_reasons(predict, tmp_path, monkeypatch):
    folder = save_scenes(tmp_path / 'in', 1, height=200, width=400)
    (folder / 'text.jpg').write_text('no image')
    (folder / 'empty.jpg').write_bytes(b'')
    Image.fromarray(np.zeros((8, 8), np.float32)).save(folder / 'float.tif')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 2000)
    out = tmp_path / 'out'
    assert predict(folder, '--out', out) == 1
    failures = failures_of(out)
    assert set(failures) == {'text', 'empty', 'float', '0'}
    assert 'has more than 4,000 pixels' in failures['0']['reason']
    assert '--max-pixels' in failures['0']['reason']
    assert 'its content is of no known image format' in failures['text']['reason']
    assert 'save it as 8 or 16 bit' in failures['float']['reason']
    for failure in failures.values():
        assert '0x' not in failure['reason']
        assert failure['reason'].startswith(failure['path'])
    causes = {name: failure['cause'] for name, failure in failures.items()}
    assert causes.pop('float') == 'bad-values'
    assert causes == {'text': 'bad-image', 'empty': 'bad-image', '0': 'too-large'}
    assert predict(folder / '0.png', '--out', out, '--max-pixels', 80000) == 0
    assert 'max-pixels is 0' in predict(folder, '--out', out, '--max-pixels', 0)


def test_16_odd_names(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 1)
    names = {'a b', 'line\nbreak', 'ünï', '{name}', '[*]', '<b>&', "it's", '%41', '#1?'}
    for name in names:
        Image.fromarray(scene(0)).save(folder / f'{name}.png')
    out = tmp_path / 'out'
    assert predict(folder, '--out', out, '--contact-sheet') == 0
    assert {path.stem for path in (out / 'idmap').iterdir()} == {'0', *names}
    assert (out / 'index.html').read_text().count('class="card"') == 10


def test_17_long_names(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 1)
    fits, does_not = 'f' * 244, 'n' * 251
    for name in (fits, does_not):
        Image.fromarray(scene(0)).save(folder / f'{name}.png')
    out = tmp_path / 'out'
    assert predict(folder, '--out', out, '--contact-sheet') == 1
    # a map without a table would look complete
    assert {path.stem for path in (out / 'idmap').iterdir()} == {'0', fits}
    assert (out / 'index.html').is_file()
    ((name, failure),) = failures_of(out).items()
    assert (name, failure['cause']) == (does_not, 'output')
    start = f'the files of {folder / does_not}.png cannot be written (File name too long: {out}'
    assert failure['reason'].startswith(start)
    assert '.partial' not in failure['reason']


def test_18_names_that_are_no_text(predict, tmp_path):
    folder = save_scenes(tmp_path / 'in', 2)
    os.rename(folder / '1.png', os.fsencode(folder) + b'/caf\xe9.png')
    out = tmp_path / 'out'
    assert predict(folder, '--out', out, '--contact-sheet') == 1
    ((name, failure),) = failures_of(out).items()
    assert name == r'caf\xe9'
    assert r'caf\xe9.png has a name that is not UTF-8' in failure['reason']
    assert os.listdir(out / 'idmap') == ['0.png']
    assert r'caf\xe9' in (out / 'index.html').read_text()


def test_22_unwritable_output(predict, tmp_path, monkeypatch):
    folder = save_scenes(tmp_path / 'in', 3)
    written = []

    def refuse(self, name, data):
        written.append(name)
        raise PermissionError(13, 'Permission denied', name)

    monkeypatch.setattr(ResultWriter, '_save', refuse)
    message = predict(folder, '--out', tmp_path / 'out', '--workers', 0)
    assert 'Permission denied' in message
    assert len(written) == 1


def test_24_interruption(predict, tmp_path, monkeypatch):
    folder = save_scenes(tmp_path / 'in', 3)

    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(ResultWriter, 'write', interrupted)
    assert predict(folder, '--out', tmp_path / 'out') == 130
    assert json.loads((tmp_path / 'out/manifest.json').read_text())['finished'] is None
    assert not list(tmp_path.glob('out/idmap/*'))


@pytest.mark.parametrize('separator', ['\n', '\0', '\r\n'])
def test_29_lists(predict, tmp_path, monkeypatch, separator):
    folder = save_scenes(tmp_path / 'in', 3)
    names = [str(folder / '2.png'), str(folder / '0.png'), str(folder / 'gone.png'), '']
    data = separator.join(names).encode()
    (tmp_path / 'names').write_bytes(data)
    assert predict('--list', tmp_path / 'names', '--out', tmp_path / 'list') == 1
    monkeypatch.setattr(sys, 'stdin', SimpleNamespace(buffer=io.BytesIO(data)))
    assert predict('-', '--out', tmp_path / 'stdin') == 1
    for out in (tmp_path / 'list', tmp_path / 'stdin'):
        assert sorted(os.listdir(out / 'idmap')) == ['0.png', '2.png']
        assert failures_of(out)['gone']['reason'].endswith('gone.png does not exist')
    os.remove(folder / '2.png')
    again = ('--list', tmp_path / 'names', '--out', tmp_path / 'list', '--skip-existing')
    assert predict(*again) == 1
    assert set(failures_of(tmp_path / 'list')) == {'2', 'gone'}
    both = predict(folder, '--list', tmp_path / 'names', '--out', tmp_path / 'out')
    assert 'name the inputs, or read them from - or --list FILE, not both' in both
    assert 'there is no input' in predict('--out', tmp_path / 'out')


def test_32_thresholds_that_leave_nothing(predict, tmp_path, capsys, log):
    folder = save_scenes(tmp_path / 'in', 2)
    assert predict(folder, '--out', tmp_path / 'out', '--score-thr', 1) == 0
    assert re.match(
        r'no entity reaches --score-thr 1.0 and --min-area 1, so all maps are empty: the model '
        r'found \d+ entities, the best with score 0\.\d\d$',
        log[-1],
    )
    assert '2 of 2 images have none' in capsys.readouterr().out
    assert json.loads((tmp_path / 'out/manifest.json').read_text())['without_entities'] == 2
