"""File names of annotation files are other people's input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmentity.datasets import (
    CocoEntityDataset,
    EntitySegDataset,
    EntitySegInstanceDataset,
    EntitySegPanopticDataset,
    EntitySegSemanticDataset,
)
from mmentity.datasets.paths import files_below, join_inside
from mmentity.preparation.check import check_entityseg

TRICKS = [
    '../secret.jpg',
    'a/../../secret.jpg',
    '/etc/passwd',
    '\\\\server\\share\\x.jpg',
    'C:\\x.jpg',
    'C:x.jpg',
    '..\\secret.jpg',
    '',
    ' ',
    'a\0.jpg',
    None,
    7,
]


@pytest.mark.parametrize('name', TRICKS)
def test_tricks_are_refused(name):
    with pytest.raises(ValueError, match='file name'):
        join_inside('data/images', name)


@pytest.mark.parametrize('name', ['a.jpg', 'a/b c.jpg', '..a.jpg', 'a..b/c.jpg', 'ä/ü.jpg'])
def test_names_below_the_folder_are_joined(name):
    assert join_inside('data/images', name) == f'data/images/{name}'


def test_remote_folders():
    assert join_inside('s3://bucket/images/', 'a/b.jpg') == 's3://bucket/images/a/b.jpg'
    with pytest.raises(ValueError, match='leads out'):
        join_inside('s3://bucket/images', '../b.jpg')


def test_files_below_a_folder_follow_links(tmp_path):
    for name in ('inside', 'outside', 'outside/deep'):
        (tmp_path / name).mkdir()
    for name in ('inside/a.jpg', 'outside/b.jpg', 'outside/deep/c.jpg'):
        (tmp_path / name).write_text('x')
    (tmp_path / 'inside/file.jpg').symlink_to(tmp_path / 'outside/b.jpg')
    (tmp_path / 'inside/folder').symlink_to('../outside')
    (tmp_path / 'inside/lost.jpg').symlink_to('nowhere')
    (tmp_path / 'outside/circle').symlink_to('../inside')
    (tmp_path / 'linked').symlink_to('inside')
    for folder in ('inside', 'linked'):
        root = tmp_path / folder
        found = sorted(path.relative_to(root).as_posix() for path in files_below(root))
        assert found == ['a.jpg', 'file.jpg', 'folder/b.jpg', 'folder/deep/c.jpg']


def entity(root, name):
    content = {
        'images': [{'id': 1, 'file_name': name, 'height': 4, 'width': 5}],
        'annotations': [],
    }
    (root / 'a.json').write_text(json.dumps(content))
    return {'ann_file': 'a.json', 'data_prefix': {'img': 'images/'}}


def panoptic(root, name, map_name='a.png'):
    content = {
        'images': [{'id': 1, 'file_name': name, 'height': 4, 'width': 5}],
        'annotations': [{'image_id': 1, 'file_name': map_name, 'segments_info': []}],
    }
    (root / 'a.json').write_text(json.dumps(content))
    return {'ann_file': 'a.json', 'data_prefix': {'img': 'images/', 'seg': 'maps/'}}


def panoptic_map(root, name):
    return panoptic(root, 'a.jpg', name)


def semantic(root, name):
    (root / 'a.txt').write_text(f'{name} a.png\n')
    return {'ann_file': 'a.txt', 'data_prefix': {'img': 'images/', 'seg': 'maps/'}}


FORMS = [
    (EntitySegDataset, entity),
    (EntitySegInstanceDataset, entity),
    (CocoEntityDataset, panoptic),
    (CocoEntityDataset, panoptic_map),
    (EntitySegPanopticDataset, panoptic),
    (EntitySegSemanticDataset, semantic),
]


@pytest.mark.parametrize(('dataset', 'form'), FORMS)
@pytest.mark.parametrize('name', ['../x.jpg', '/etc/x.jpg'])
def test_every_dataset_refuses_tricks(tmp_path, dataset, form, name):
    options = form(tmp_path, name)
    with pytest.raises(ValueError, match=r'in annotation file .*a\.(json|txt) the file name'):
        dataset(data_root=str(tmp_path), pipeline=[], **options)


def linked_file(root, name, outside):
    path = root / name
    path.rename(outside / path.name)
    path.symlink_to(outside / path.name)


def linked_folder(root, name, outside):
    folder = (root / name).parent
    folder.rename(outside / folder.name)
    folder.symlink_to(outside / folder.name)


@pytest.mark.parametrize('link', [linked_file, linked_folder])
def test_datasets_follow_links(demo_root, tmp_path, link):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    dataset = EntitySegDataset(
        data_root=str(root),
        ann_file='annotations/entity_segmentation/entityv2_01_entity_val.json',
        data_prefix={'img': 'images/'},
        pipeline=[{'type': 'mmentity.LoadEntityImage'}],
        test_mode=True,
    )
    before = dataset[0]['img']
    outside = tmp_path / 'another_disk'
    outside.mkdir()
    link(root, Path(dataset.get_data_info(0)['img_path']).relative_to(root), outside)
    assert np.array_equal(dataset[0]['img'], before)
    assert check_entityseg(root, workers=1).problems == []
