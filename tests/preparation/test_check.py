import json
import shutil
import subprocess
import sys

import pytest

from mmentity.preparation.check import check_entityseg
from mmentity.preparation.report import KINDS
from mmentity.preparation.synthetic import DemoOptions, make_demo_data
from tests.conftest import ROOT
from tests.preparation.planting import (
    FAULTS,
    FILE_FAULTS,
    MAP_FAULTS,
    TRAIN,
    Planter,
    compare,
    keep_merged_files,
)

TOOL = str(ROOT / 'tools/dataset_converters/entityseg.py')


def test_every_kind_of_problem_is_planted():
    assert set(FAULTS) | set(MAP_FAULTS) | set(FILE_FAULTS) == set(KINDS)


def test_sound_data_has_no_problem(demo_root):
    report = check_entityseg(demo_root, workers=2)
    assert report.problems == []
    assert report.exit_code(strict=True) == 0
    merged = next(row for row in report.counts if '010203_entity_train.json' in row.file)
    assert merged.images == 6
    assert merged.unlabelled == 0
    assert sorted(merged.folders.values()) == [1, 1, 4]


def test_planted_faults_are_all_found_and_none_invented(tmp_path):
    times = 3
    # one of three images is outside of folder 01
    num = 3 * (len(FAULTS) * times + 4)
    root = make_demo_data(tmp_path / 'demo', DemoOptions(num, 2, 48, 64))
    keep_merged_files(root)
    planter = Planter(root)
    for kind in (*FAULTS, *MAP_FAULTS):
        for _ in range(times):
            planter.plant(kind)
    planter.write()
    report = check_entityseg(root, workers=2)
    missed, invented = compare(planter.planted, report)
    assert missed == []
    assert invented == []
    assert report.exit_code() == 1


@pytest.mark.parametrize('kind', FILE_FAULTS)
def test_faults_of_whole_files(demo_root, tmp_path, kind):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    FILE_FAULTS[kind](root)
    report = check_entityseg(root, workers=1)
    assert [problem.kind for problem in report.problems] == [kind]


def test_both_namings_are_read(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    folder = root / 'annotations/entity_segmentation'
    for path in folder.glob('entityv2_010203*'):
        path.rename(folder / path.name.replace('v2_010203_entity', 'seg'))
    report = check_entityseg(root, workers=1)
    assert report.problems == []
    assert any('entityseg_val_lr.json' in row.file for row in report.counts)


def test_the_command_line(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    next((root / 'images').rglob('*.jpg')).unlink()
    done = subprocess.run(
        [sys.executable, TOOL, str(root), 'check', '--report', str(tmp_path / 'report.json')],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert 'missing-image' in done.stdout
    assert 'of folder' in done.stdout
    problems = json.loads((tmp_path / 'report.json').read_text())['problems']
    assert {problem['kind'] for problem in problems} == {'missing-image'}
    assert len(problems) >= 2  # the file of the folder and the merged one
    done = subprocess.run(
        [sys.executable, TOOL, str(tmp_path / 'nowhere'), 'check'], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.strip().endswith('is not a folder; give the one that holds images/')


def test_garbage_is_reported(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    path = root / TRAIN
    content = json.loads(path.read_text())
    content['images'] += [7, {'id': [], 'file_name': 'a', 'height': 1, 'width': 1}, {'id': 1}]
    content['annotations'] += [None, {**content['annotations'][0], 'id': {}}]
    content['categories'] = {'no': 'list'}
    path.write_text(json.dumps(content))
    problems = check_entityseg(root, ('entity',), workers=1).problems
    assert [problem.kind for problem in problems] == ['bad-entry'] * 5
    path.write_text('{"images": 3, "annotations": []}')
    problems = check_entityseg(root, ('entity',), workers=1).problems
    assert 'bad-json' in {problem.kind for problem in problems}


def test_file_names_of_a_wrong_type(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    content = json.loads((root / TRAIN).read_text())
    content['images'] += [{'id': 10 + k, 'file_name': name, 'height': 1, 'width': 1}
                          for k, name in enumerate([7, ['a'], None])]  # fmt: skip
    (root / TRAIN).write_text(json.dumps(content))
    problems = check_entityseg(root, ('entity',), workers=1).problems
    assert [problem.kind for problem in problems] == ['bad-entry'] * 3
