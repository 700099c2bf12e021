import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mmentity.datasets.categories import (
    instance_categories,
    panoptic_categories,
    semantic_categories,
)
from mmentity.preparation.check import check_entityseg
from mmentity.preparation.derive import class_of, derive_annotations
from mmentity.preparation.low_resolution import LowResolutionOptions, make_low_resolution
from mmentity.structures.id_map import read_id_map
from tests.conftest import ROOT
from tests.preparation.planting import ENTITY

ENTITY_TRAIN = 'entity_segmentation/entityv2_01_entity_train.json'
INSTANCES_TRAIN = 'instance_segmentation/entityv2_01_instances_train.json'
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


def test_maps_are_those_of_the_masks(demo_root):
    """The annotations of the demo are derived too: compare with masks that pycocotools decodes."""
    annotations = demo_root / 'annotations'
    content = json.loads((annotations / ENTITY_TRAIN).read_text())
    folder = annotations / 'panoptic_segmentation'
    panoptic = json.loads((folder / 'entityv2_01_panoptic_train.json').read_text())
    instances = json.loads((annotations / INSTANCES_TRAIN).read_text())['annotations']
    classes = {c.entity_id: c.id for c in semantic_categories()}
    things = {c.id for c in instance_categories()}
    segment_categories = {c.entity_id: c for c in panoptic_categories()}
    wanted_instances = [r for r in content['annotations'] if r['category_id'] in things]
    assert [r['segmentation'] for r in instances] == [r['segmentation'] for r in wanted_instances]
    assert len(content['images']) == len(panoptic['annotations']) == 4
    for image, row in zip(content['images'], panoptic['annotations']):
        name = Path(image['file_name']).with_suffix('.png').name
        assert (row['image_id'], row['file_name']) == (image['id'], Path(image['file_name']).name)
        semantic = np.asarray(
            Image.open(annotations / 'semantic_segmentation/semantic_maps_train' / name)
        )
        segments = read_id_map(Image.open(folder / 'panoptic_maps_train' / name))
        category_of = {s['id']: s['category_id'] for s in row['segments_info']}
        covered = np.zeros(semantic.shape, bool)
        for entity in (r for r in content['annotations'] if r['image_id'] == image['id']):
            mask = mask_utils.decode(entity['segmentation']).astype(bool)
            covered |= mask
            category_id = entity['category_id']
            assert (semantic[mask] == classes.get(category_id, 255)).all()
            category = segment_categories.get(category_id)
            found = np.unique(segments[mask])
            assert [category_of.get(s) for s in found] == [category.id if category else None]
            if category and category.is_thing:
                assert (segments == found[0]).sum() == mask.sum()
        assert (semantic[~covered] == 255).all()
        assert not segments[~covered].any()


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
