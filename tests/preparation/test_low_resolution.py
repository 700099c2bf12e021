import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mmentity.datasets.geometry import shortest_edge_size
from mmentity.preparation.check import check_entityseg
from mmentity.preparation.low_resolution import (
    LowResolutionOptions,
    make_low_resolution,
    resize_annotations,
)
from tests.conftest import ROOT
from tests.preparation.planting import ENTITY, TRAIN

OPTIONS = LowResolutionOptions(40, 50, 90)


@pytest.fixture
def root(demo_root, tmp_path):
    """The demo data without its low-resolution copy."""
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    remove_copy(root)
    return root


def remove_copy(root):
    shutil.rmtree(root / 'images_lr')
    for path in (root / 'annotations').rglob('*_lr.json'):
        path.unlink()


def contents(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def test_layout_sizes_and_masks(root):
    report = make_low_resolution(root, OPTIONS, workers=2)
    assert report.faults == []
    assert report.images == 9
    assert check_entityseg(root, ('entity',), workers=1).problems == []
    high = json.loads((root / TRAIN).read_text())
    low = json.loads((root / TRAIN.replace('.json', '_lr.json')).read_text())
    assert low['categories'] == high['categories']
    sizes = {}
    for before, after in zip(high['images'], low['images']):
        size = shortest_edge_size(before['height'], before['width'], 40, 50)
        assert (after['height'], after['width']) == size
        sizes[before['id']] = size
        with Image.open(root / 'images_lr' / after['file_name']) as image:
            assert image.size == size[::-1]
            source = Image.open(root / 'images' / after['file_name']).resize(
                size[::-1], Image.BILINEAR
            )
            assert np.abs(np.int16(np.asarray(image)) - np.asarray(source)).mean() < 8
    after = {row['id']: row for row in low['annotations']}
    for row in high['annotations']:
        height, width = sizes[row['image_id']]
        mask = Image.fromarray(mask_utils.decode(row['segmentation']))
        wanted = np.asarray(mask.resize((width, height), Image.NEAREST))
        if not wanted.any():
            assert row['id'] not in after
            continue
        mine = after[row['id']]
        assert np.array_equal(mask_utils.decode(mine['segmentation']), wanted)
        assert mine['area'] == wanted.sum()
        assert mine['category_id'] == row['category_id']
    assert report.lost == 2 * (len(high['annotations']) - len(low['annotations'])) + lost_val(root)


def lost_val(root):
    counts = [
        len(json.loads((root / ENTITY / f'entityv2_010203_entity_val{lr}.json').read_text())[key])
        for lr in ('', '_lr')
        for key in ('annotations',)
    ]
    return 2 * (counts[0] - counts[1])


def test_overlapping_masks_are_each_resized_alone():
    masks = np.zeros((3, 24, 30), np.uint8)
    masks[0, 2:20, 3:17], masks[1, 10:23, 8:29], masks[2, 5:6, 1:28] = 1, 1, 1
    rows = [{'id': k, 'segmentation': mask_utils.encode(np.asfortranarray(m))} for k, m in
            enumerate(masks)]  # fmt: skip
    after = {r['id']: r for r in resize_annotations({'height': 24, 'width': 30}, rows, (11, 13))}
    for k, mask in enumerate(masks):
        wanted = np.asarray(Image.fromarray(mask).resize((13, 11), Image.NEAREST))
        mine = mask_utils.decode(after[k]['segmentation']) if k in after else 0 * wanted
        assert np.array_equal(mine, wanted)


def test_twice_gives_equal_bytes_and_makes_nothing_again(root):
    make_low_resolution(root, OPTIONS, workers=1)
    first = contents(root)
    again = make_low_resolution(root, OPTIONS, workers=2)
    assert (again.images, again.files) == (0, [])
    assert contents(root) == first
    make_low_resolution(root, OPTIONS, overwrite=True, workers=2)
    assert contents(root) == first
    remove_copy(root)
    make_low_resolution(root, OPTIONS, workers=2)
    assert contents(root) == first


@pytest.mark.parametrize(
    ('slow', 'made'),
    [('resize_annotations', '.make_lr/*.json'), ('_has_size', 'images_lr/*/*.jpg')],
)
def test_killed_half_way_and_started_again(root, slow, made):
    make_low_resolution(root, OPTIONS, workers=1)
    whole = contents(root)
    remove_copy(root)
    process = subprocess.Popen(
        [sys.executable, '-c', SLOW.format(slow=slow, root=root)], stderr=subprocess.DEVNULL
    )
    deadline = time.time() + 120
    while len(list(root.glob(made))) < 3:
        assert time.time() < deadline
        assert process.poll() is None, 'it ended before it could be killed'
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = contents(root)
    assert set(whole) - set(left)
    assert all(whole[name] == left[name] for name in set(left) & set(whole))
    kept = len(list(root.glob('images_lr/*/*.jpg')))
    report = make_low_resolution(root, OPTIONS, workers=2)
    assert report.images >= 9 - kept
    assert contents(root) == whole


SLOW = """
import time
from mmentity.preparation import low_resolution as module
from mmentity.preparation import parallel
parallel.CHUNK = 1
quick = module.{slow}
module.{slow} = lambda *args: (time.sleep(0.1), quick(*args))[1]
module.make_low_resolution('{root}', module.LowResolutionOptions(40, 50, 90), workers=1)
"""


def test_one_bad_image_is_reported_and_the_others_are_made(root):
    content = json.loads((root / TRAIN).read_text())
    bad = root / 'images' / content['images'][0]['file_name']
    bad.write_bytes(bad.read_bytes()[:300])
    report = make_low_resolution(root, OPTIONS, workers=2)
    assert report.images == 8
    assert len(report.faults) == 1
    assert content['images'][0]['file_name'] in report.faults[0]


def test_the_command_line(root, tmp_path):
    tool = str(ROOT / 'tools/dataset_converters/entityseg.py')
    line = [sys.executable, tool, str(root), 'make-lr', '--short-side', '40', '--long-side', '50']
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '9 images made; annotation files: 8' in done.stdout
    empty = tmp_path / 'empty'
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, tool, str(empty), 'make-lr'], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert 'holds no annotation file of the original images' in done.stderr
    assert 'Traceback' not in done.stderr
