import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmentity.preparation.check import check_entityseg
from mmentity.preparation.derive import class_of, derive_annotations
from mmentity.preparation.low_resolution import LowResolutionOptions, make_low_resolution
from tests.conftest import ROOT
from tests.preparation.planting import ENTITY

TASKS = ('instance_segmentation', 'semantic_segmentation', 'panoptic_segmentation')


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for task in TASKS
        for path in sorted((folder / task).rglob('*'))
        if path.is_file()
    }


def test_equal_to_the_annotations_of_the_demo(demo_root, tmp_path):
    report = derive_annotations(demo_root, tmp_path, workers=2)
    assert report.faults == []
    assert report.images == 5
    mine, wanted = files_of(tmp_path), files_of(demo_root / 'annotations')
    assert set(mine) == set(wanted)
    assert all(mine[name] == wanted[name] for name in wanted)
    assert len(wanted) == 2 * 3 + 2 * 5
    assert not list(tmp_path.rglob('.derive'))


def test_from_the_merged_file_of_the_other_naming(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    for path in (root / ENTITY).glob('entityv2_0[123]_*'):
        path.unlink()
    for path in (root / ENTITY).glob('entityv2_010203*'):
        path.rename(path.with_name(path.name.replace('v2_010203_entity', 'seg')))
    derive_annotations(root, tmp_path / 'out', workers=1)
    mine, wanted = files_of(tmp_path / 'out'), files_of(demo_root / 'annotations')
    # the merged file numbers images anew, the first folder comes first
    assert mine == wanted


def test_low_resolution_maps_are_the_maps_by_nearest(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    shutil.rmtree(root / 'images_lr')
    for path in (root / ENTITY).glob('*_lr.json'):
        path.unlink()
    make_low_resolution(root, LowResolutionOptions(40, 60), workers=1)
    report = derive_annotations(root, low_resolution=True, workers=1)
    assert (report.images, report.skipped) == (5, [])
    high = sorted((root / 'annotations/semantic_segmentation/semantic_maps_train').iterdir())
    for path in high:
        low = Image.open(path.parent.with_name('semantic_maps_train_lr') / path.name)
        wanted = Image.open(path).resize(low.size, Image.NEAREST)
        assert np.array_equal(np.asarray(low), np.asarray(wanted))
    problems = check_entityseg(root, workers=1).problems
    assert {problem.kind for problem in problems} <= {'no-entities'}


def test_what_is_there_is_kept(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    before = files_of(root / 'annotations')
    report = derive_annotations(root, workers=1)
    assert (report.images, len(report.skipped)) == (0, 6)
    shutil.rmtree(root / 'annotations/panoptic_segmentation/panoptic_maps_val')
    derive_annotations(root, overwrite=True, workers=1)
    assert files_of(root / 'annotations') == before


def test_a_bad_annotation_leaves_its_image_out(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    path = root / ENTITY / 'entityv2_01_entity_train.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['segmentation']['counts'] = '1'
    path.write_text(json.dumps(content))
    report = derive_annotations(root, tmp_path / 'out', workers=1)
    assert report.images == 4
    assert len(report.faults) == 1
    assert 'image id 1) is left out: ' in report.faults[0]
    made = json.loads(
        (tmp_path / 'out/panoptic_segmentation/entityv2_01_panoptic_train.json').read_text()
    )
    assert [image['id'] for image in made['images']] == [2, 3, 4]


def test_class_agnostic_files(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    for path in (root / ENTITY).glob('*.json'):
        content = json.loads(path.read_text())
        for row in content['annotations']:
            row['category_id_ori'] = str(row['category_id'])
            row['category_id'] = 1
        path.write_text(json.dumps(content))
    derive_annotations(root, tmp_path / 'out', workers=1)
    assert files_of(tmp_path / 'out') == files_of(demo_root / 'annotations')
    for path in (root / ENTITY).glob('*.json'):
        content = json.loads(path.read_text())
        rows = content['annotations'] * 10
        content['annotations'] = [{**row, 'category_id_ori': 1} for row in rows]
        path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='all entities of .* are of category 1: the file is class'):
        derive_annotations(root, tmp_path / 'out2', workers=1)
    with pytest.raises(ValueError, match="has the class 'man'; classes are known by their id"):
        class_of({'id': 3, 'category_id': 1, 'category_id_ori': 'man'}, 'a.json')


def test_the_command_line(demo_root, tmp_path):
    tool = str(ROOT / 'tools/dataset_converters/entityseg.py')
    line = [sys.executable, tool, str(demo_root), 'derive', '--out', str(tmp_path / 'out')]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'annotations of 5 images derived' in done.stdout
    assert 'exists, nothing of its split' in subprocess.run(line, capture_output=True,
                                                              text=True).stdout  # fmt: skip
    (tmp_path / 'empty').mkdir()
    done = subprocess.run(
        [sys.executable, tool, str(tmp_path / 'empty'), 'derive'], capture_output=True, text=True
    )
    assert (done.returncode, 'holds no entity annotations' in done.stderr) == (2, True)
