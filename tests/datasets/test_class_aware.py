"""Instance, semantic and panoptic datasets, and what can be wrong with their files."""

import json
import shutil

import numpy as np
import pytest
from mmengine.dataset import Compose
from PIL import Image

from mmentity.datasets import (
    EntitySegInstanceDataset,
    EntitySegPanopticDataset,
    EntitySegSemanticDataset,
    SampleError,
)
from mmentity.preparation.annotation_forms import panoptic_segments, semantic_map
from mmentity.structures import EntityMap

IMAGES = 'images/entity_01_11580/'
PIPELINE = [
    {'type': 'mmentity.LoadEntityImage'},
    {'type': 'mmentity.LoadEntityAnnotations'},
]


def instance_set(
    root, ann_file='annotations/instance_segmentation/entityv2_01_instances_train.json'
):
    return EntitySegInstanceDataset(
        data_root=str(root), ann_file=str(ann_file), data_prefix={'img': IMAGES}, pipeline=PIPELINE
    )


def panoptic_set(root, **options):
    folder = 'annotations/panoptic_segmentation/'
    options = {
        'data_root': str(root),
        'ann_file': folder + 'entityv2_01_panoptic_train.json',
        'data_prefix': {'img': IMAGES, 'seg': folder + 'panoptic_maps_train/'},
        'pipeline': PIPELINE,
        'test_mode': True,
        **options,
    }
    return EntitySegPanopticDataset(**options)


def semantic_set(root, **options):
    folder = 'annotations/semantic_segmentation/'
    options = {
        'data_root': str(root),
        'ann_file': folder + 'train.txt',
        'data_prefix': {'img': IMAGES, 'seg': folder + 'semantic_maps_train/'},
        'pipeline': PIPELINE,
        'test_mode': True,
        **options,
    }
    return EntitySegSemanticDataset(**options)


@pytest.fixture
def copied_root(demo_root, tmp_path):
    root = tmp_path / 'data'
    shutil.copytree(demo_root, root)
    return root


def test_instances_have_labels_of_their_category_ids(demo_root):
    dataset = instance_set(demo_root)
    ids = dataset.metainfo['category_ids']
    sample = dataset[0]
    records = dataset.get_data_info(0)['instances']
    assert [ids[label] for label in sample['gt_bboxes_labels']] == [
        r['category_id'] for r in records
    ]
    boxes = sample['gt_masks'].entities.boxes_xyxy_px
    assert [r['bbox'] for r in records] == boxes.tolist()


def test_panoptic_segments_are_the_entities_of_the_scene(demo_root):
    dataset = panoptic_set(demo_root)
    sample = dataset[0]
    info = dataset.get_data_info(0)
    assert sample['gt_masks'].entities.areas.tolist() == [s['area'] for s in info['segments_info']]
    classes = [dataset.metainfo['classes'][label] for label in sample['gt_bboxes_labels']]
    things = [name in dataset.metainfo['thing_classes'] for name in classes]
    assert things == [segment['is_thing'] for segment in info['segments_info']]
    assert any(things)
    assert not all(things)
    assert len(info['instances']) == sum(things)
    stuff = [name for name, thing in zip(classes, things) if not thing]
    assert len(stuff) == len(set(stuff))


def test_semantic_map_is_one_entity_for_each_class(demo_root):
    sample = semantic_set(demo_root)[0]
    path = sample['seg_map_path']
    classes = np.asarray(Image.open(path))
    assert np.array_equal(sample['gt_seg_map'], classes)
    painted = np.append(255, sample['gt_bboxes_labels'])[sample['gt_masks'].entities.ids[0]]
    assert np.array_equal(painted, classes)


def test_stuff_of_one_category_merges_and_things_do_not():
    ids = np.array([[1, 2, 3], [4, 4, 5], [0, 6, 6]])
    # sky, car, car, sky, a category outside the panoptic table, grass
    category_ids = np.array([3, 2, 2, 3, 0, 12])
    png, infos = panoptic_segments(EntityMap(ids), category_ids)
    assert png[..., 0].tolist() == [[1, 2, 3], [1, 1, 0], [0, 4, 4]]
    assert not png[..., 1:].any()
    assert [(i['id'], i['category_id'], i['area']) for i in infos] == [
        (1, 3, 3),
        (2, 2, 1),
        (3, 2, 1),
        (4, 12, 2),
    ]
    assert infos[0]['bbox'] == [0, 0, 2, 2]
    assert semantic_map(EntityMap(ids), category_ids).tolist() == [
        [0, 41, 41],
        [0, 0, 255],
        [255, 3, 3],
    ]


def test_unknown_category_id_is_named(demo_root, tmp_path):
    for task, load in (
        ('instance_segmentation/entityv2_01_instances', instance_set),
        ('panoptic_segmentation/entityv2_01_panoptic', None),
    ):
        content = json.loads((demo_root / f'annotations/{task}_train.json').read_text())
        row = content['annotations'][0]
        row.get('segments_info', [row])[0]['category_id'] = 9999
        path = tmp_path / 'unknown.json'
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r'unknown\.json gives image 1 the category id 9999'):
            load(demo_root, path) if load else panoptic_set(demo_root, ann_file=str(path))


def resize_map(size, path):
    Image.open(path).resize(size, Image.NEAREST).save(path)


def image_of(copied_root, height, width):
    path = copied_root / IMAGES / 'demo_train_00000.jpg'
    Image.new('RGB', (width, height)).save(path)


@pytest.mark.parametrize(
    ('image', 'seg_map', 'hint'),
    [
        ((900, 1200), (800, 1067), 'the map fits the low-resolution image; use images_lr'),
        ((800, 1067), (900, 1200), 'the image is the low-resolution one; use images or'),
        ((900, 1200), (90, 100), 'it fits the low-resolution image neither'),
    ],
)
def test_semantic_map_of_another_size_tells_what_it_fits(copied_root, image, seg_map, hint):
    image_of(copied_root, *image)
    folder = copied_root / 'annotations/semantic_segmentation/semantic_maps_train'
    resize_map(seg_map[::-1], folder / 'demo_train_00000.png')
    message = rf'demo_train_00000\.png is {seg_map[0]}x{seg_map[1]}, the image is .*{hint}'
    with pytest.raises(SampleError, match=message):
        semantic_set(copied_root)[0]


def test_semantic_map_with_a_value_outside_the_classes(copied_root):
    path = (
        copied_root / 'annotations/semantic_segmentation/semantic_maps_train/demo_train_00000.png'
    )
    classes = np.array(Image.open(path))
    classes[0, 0] = 150
    Image.fromarray(classes).save(path)
    with pytest.raises(SampleError, match='holds the value 150; classes are 0 to 149, and 255'):
        semantic_set(copied_root)[0]
    Image.new('RGB', classes.shape[::-1]).save(path)
    with pytest.raises(SampleError, match='of mode RGB; a semantic map has one channel'):
        semantic_set(copied_root)[0]


def test_line_without_a_pair(copied_root):
    path = copied_root / 'annotations/semantic_segmentation/train.txt'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([lines[0], 'alone.jpg', *lines[1:]]))
    with pytest.raises(ValueError, match=r"line 2 of .*train\.txt is 'alone\.jpg'; it must be"):
        semantic_set(copied_root)
    path.write_text('\n')
    with pytest.raises(ValueError, match=r'train\.txt is empty'):
        semantic_set(copied_root)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'train\.txt does not exist; check data_root'):
        semantic_set(copied_root)


def change_panoptic(root, change):
    path = root / 'annotations/panoptic_segmentation/entityv2_01_panoptic_train.json'
    content = json.loads(path.read_text())
    change(content['annotations'][0])
    path.write_text(json.dumps(content))


def test_panoptic_segment_that_the_json_does_not_list(copied_root):
    change_panoptic(copied_root, lambda annotation: annotation['segments_info'].pop(0))
    with pytest.raises(SampleError, match=r'has segments that its json does not list \(1\)'):
        panoptic_set(copied_root)[0]


def test_panoptic_segment_that_the_png_lacks(copied_root):
    def add(annotation):
        annotation['segments_info'].append({**annotation['segments_info'][0], 'id': 70000})

    change_panoptic(copied_root, add)
    with pytest.raises(SampleError, match=r'lacks segments that its json lists \(70000\)'):
        panoptic_set(copied_root)[0]


def test_empty_segments_info_is_an_image_without_segments(copied_root):
    def clear(annotation):
        annotation['segments_info'] = []

    change_panoptic(copied_root, clear)
    folder = copied_root / 'annotations/panoptic_segmentation/panoptic_maps_train'
    png = folder / 'demo_train_00000.png'
    Image.new('RGB', Image.open(png).size).save(png)
    sample = panoptic_set(copied_root)[0]
    assert sample['gt_masks'].entities.num_entities == len(sample['gt_bboxes_labels']) == 0
    options = {'test_mode': False, 'filter_cfg': {'filter_empty_gt': True}}
    kept = panoptic_set(copied_root, **options)
    assert len(kept) == len(panoptic_set(copied_root)) - 1


def test_semantic_training_sample(demo_root):
    steps = [
        *PIPELINE,
        {'type': 'mmentity.FlipEntities'},
        {'type': 'mmentity.ResizeViews', 'short_side': [40, 160], 'long_side': 400},
        {'type': 'mmentity.RandomCropViews', 'size': 64},
        {'type': 'mmentity.ApplyToViews', 'transforms': [{'type': 'mmseg.PhotoMetricDistortion'}]},
        {'type': 'mmentity.PackEntityInputs'},
    ]
    info = semantic_set(demo_root, pipeline=[]).get_data_info(0)
    pipeline = Compose(steps)
    np.random.seed(0)
    for _ in range(6):
        sample = pipeline(dict(info))
        assert sample['inputs'].shape == (1, 3, 64, 64)
        targets = sample['data_samples'].gt_view_maps[0]
        assert targets.shape[-1] <= 64
        assert targets.max() <= len(sample['data_samples'].gt_instances.labels)


def test_crop_takes_the_same_place_from_image_and_map():
    img = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)
    results = {
        'view_imgs': [np.stack([img] * 3, axis=-1)],
        'view_maps': [EntityMap(img.astype(np.int32))],
    }
    from mmentity.datasets.transforms import RandomCropViews

    np.random.seed(0)
    cut = RandomCropViews(size=16, pad_value=7).transform(dict(results))
    assert np.array_equal(cut['view_imgs'][0][..., 0], cut['view_maps'][0].ids[0])
    padded = RandomCropViews(size=64, pad_value=7).transform(dict(results))
    assert (padded['view_imgs'][0][30:] == 7).all()
    assert padded['view_maps'][0].ids.shape == (1, 30, 40)
    assert padded['view_shapes'] == [(64, 64)]
