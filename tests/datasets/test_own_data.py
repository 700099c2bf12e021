"""A user's own images: id maps in a folder, or any COCO instance json."""

import json
import re

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from PIL import Image
from pycocotools import mask as mask_utils

from mmentity.datasets import CocoInstanceEntityDataset, EntityFolderDataset, SampleError
from mmentity.structures.id_map import colours_of_ids

PIPELINE = [
    {'type': 'mmentity.LoadEntityImage'},
    {'type': 'mmentity.LoadEntityAnnotations'},
    {'type': 'mmentity.ResizeViews', 'short_side': 32, 'long_side': 64},
    {'type': 'mmentity.PackEntityInputs'},
]
# a large id needs 16 bits, and the largest needs colours
IDS = {'8 bit': (1, 7, 200), '16 bit': (1, 300, 65535), 'colours': (5, 300, 2**24 - 1)}


def save_map(path, ids, kind):
    if kind == 'colours':
        Image.fromarray(colours_of_ids(ids)).save(path)
    else:
        Image.fromarray(ids.astype(np.uint8 if kind == '8 bit' else np.uint16)).save(path)


def make_folder(root, kind, num=3):
    rng = np.random.default_rng(0)
    for name in ('images/sub', 'maps/sub'):
        (root / name).mkdir(parents=True)
    ground_truth = []
    for k in range(num):
        name = f'sub/{k}' if k else '0'
        pixels = rng.integers(0, 255, (40, 50 + k, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f'images/{name}.jpg')
        ids = np.zeros((40, 50 + k), np.int64)
        for place, value in enumerate(IDS[kind]):
            ids[place * 12 : place * 12 + 9, 4:30] = value
        save_map(root / f'maps/{name}.png', ids, kind)
        ground_truth.append(ids)
    return ground_truth


def folder(root, **options):
    options.setdefault('pipeline', PIPELINE[:2])
    options.setdefault('data_prefix', {'img': 'images/', 'seg': 'maps/'})
    return EntityFolderDataset(data_root=str(root), **options)


@pytest.mark.parametrize('kind', IDS)
def test_maps_of_every_kind(tmp_path, kind):
    ground_truth = make_folder(tmp_path, kind)
    dataset = folder(tmp_path, test_mode=True)
    assert len(dataset) == 3
    for results, ids in zip(dataset, ground_truth):
        entities = results['gt_masks'].entities
        assert entities.num_entities == 3
        for k, value in enumerate(IDS[kind], start=1):
            assert np.array_equal(entities.ids[0] == k, ids == value)
        assert results['gt_masks'].annotated_areas.tolist() == [9 * 26] * 3
        assert results['gt_bboxes_labels'].tolist() == [0] * 3
        assert not results['gt_ignore_flags'].any()
    assert dataset.get_cat_ids(0) == [0, 0, 0]


def test_the_whole_pipeline_from_a_config(tmp_path):
    make_folder(tmp_path, '8 bit')
    dataset = DATASETS.build(
        {
            'type': 'mmentity.EntityFolderDataset',
            'data_root': str(tmp_path),
            'data_prefix': {'img': 'images/', 'seg': 'maps/'},
            'pipeline': PIPELINE,
        }
    )
    sample = dataset[1]
    assert sample['inputs'].shape[:2] == (1, 3)
    assert len(sample['data_samples'].gt_instances) == 3


def test_a_list_chooses_images(tmp_path):
    make_folder(tmp_path, '8 bit')
    (tmp_path / 'train.txt').write_text('sub/2.jpg\n\n0.jpg\n')
    dataset = folder(tmp_path, ann_file='train.txt')
    names = [dataset.get_data_info(i)['img_path'].split('images/')[1] for i in range(2)]
    assert (len(dataset), names) == (2, ['0.jpg', 'sub/2.jpg'])
    (tmp_path / 'bad.txt').write_text('9.jpg\n')
    with pytest.raises(ValueError, match=r"lists '9.jpg', which is not in"):
        folder(tmp_path, ann_file='bad.txt')
    (tmp_path / 'bad.txt').write_text('../maps/0.png\n')
    with pytest.raises(ValueError, match='leads out of its folder'):
        folder(tmp_path, ann_file='bad.txt')
    with pytest.raises(FileNotFoundError, match='list .*lost.txt does not exist'):
        folder(tmp_path, ann_file='lost.txt')


def test_values_that_are_no_entity_and_empty_maps(tmp_path):
    make_folder(tmp_path, '8 bit')
    dataset = folder(tmp_path, no_entity_ids=(200, 255))
    assert dataset[0]['gt_masks'].entities.num_entities == 2
    save_map(tmp_path / 'maps/0.png', np.zeros((40, 50)), '8 bit')
    assert len(folder(tmp_path)) == 3
    assert len(folder(tmp_path, filter_cfg={'filter_empty_gt': True})) == 2
    assert len(folder(tmp_path, filter_cfg={'min_size': 41}, test_mode=True)) == 3


def test_mistakes_end_with_a_message(tmp_path):
    make_folder(tmp_path, '8 bit')
    with pytest.raises(
        FileNotFoundError, match=r"not a folder; check data_root and data_prefix\['s"
    ):
        folder(tmp_path, data_prefix={'img': 'images/', 'seg': 'map/'})
    with pytest.raises(ValueError, match='give each a folder of its own'):
        folder(tmp_path, data_prefix={'img': 'maps/', 'seg': 'maps/'})
    with pytest.raises(ValueError, match="map_kind is 'color'"):
        folder(tmp_path, map_kind='color')
    (tmp_path / 'maps/0.png').unlink()
    with pytest.raises(ValueError, match=r'1 of 3 images have no map .* first is .*0\.jpg'):
        folder(tmp_path)


def test_bad_maps_are_named_and_skipped_in_training(tmp_path):
    make_folder(tmp_path, '8 bit')
    np.random.seed(0)
    path = tmp_path / 'maps/0.png'
    for content, message in (
        (path.read_bytes()[:50], r'maps/0\.png cannot be read as ids'),
        (b'no image', 'content is of no known image format'),
    ):
        path.write_bytes(content)
        with pytest.raises(SampleError, match=message):
            folder(tmp_path, test_mode=True)[0]
        for filter_cfg in (None, {'filter_empty_gt': True, 'min_size': 8}):
            sample = folder(tmp_path, pipeline=PIPELINE, filter_cfg=filter_cfg)[0]['data_samples']
            assert '0.jpg' in sample.metainfo['skipped_samples'][0]
    save_map(path, np.zeros((20, 25)), '8 bit')
    with pytest.raises(SampleError, match=r'40x50 \(height x width\), its annotation is for 20x25'):
        folder(tmp_path, test_mode=True)[0]


def coco(tmp_path, annotations, **options):
    (tmp_path / 'images').mkdir(exist_ok=True)
    Image.new('RGB', (20, 10)).save(tmp_path / 'images/a.jpg')
    content = {
        'images': [{'id': 5, 'file_name': 'a.jpg', 'height': 10, 'width': 20}],
        'annotations': annotations,
        'categories': [{'id': 90, 'name': 'thing'}],
    }
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    return CocoInstanceEntityDataset(
        data_root=str(tmp_path),
        ann_file='coco.json',
        data_prefix={'img': 'images/'},
        test_mode=True,
        **{'pipeline': PIPELINE[:2], **options},
    )


def test_polygons_rles_crowds_and_overlaps(tmp_path):
    mask = np.zeros((10, 20), np.uint8)
    mask[2:6, 3:9] = 1
    rle = mask_utils.encode(np.asfortranarray(mask))
    polygon = [0, 0, 12, 0, 12, 4, 0, 4]
    rows = [
        {'segmentation': [polygon]},
        {'segmentation': {'size': [10, 20], 'counts': rle['counts'].decode()}},
        {'segmentation': {'size': [10, 20], 'counts': [0, 10, 190]}, 'iscrowd': 1},
    ]
    rows = [{'id': k, 'image_id': 5, 'category_id': 90, **row} for k, row in enumerate(rows)]
    results = coco(tmp_path, rows)[0]
    entities = results['gt_masks'].entities
    assert entities.areas.tolist() == [48, 24, 10]
    assert not entities.is_disjoint
    assert np.array_equal(entities.masks()[1], mask)
    assert results['gt_ignore_flags'].tolist() == [False, False, True]
    assert results['gt_bboxes_labels'].tolist() == [0, 0, 0]


NO_MASKS = {
    'an empty list': [],
    'polygon 1 of 1 has 2 points': [[1, 1, 3, 4]],
    'polygon 1 of 6 is': [0, 0, 5, 0, 5, 5],
}


@pytest.mark.parametrize('cause', NO_MASKS)
@pytest.mark.parametrize('loader', ['ours', 'mmdet'])
def test_no_masks_are_named_and_skipped_in_training(tmp_path, cause, loader):
    steps = PIPELINE
    if loader == 'mmdet':
        register_all_modules()
        load = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True}
        steps = [PIPELINE[0], load, {'type': 'PackDetInputs'}]
    row = {'id': 7, 'image_id': 5, 'category_id': 90, 'segmentation': NO_MASKS[cause], 'area': 3}
    row['bbox'] = [0, 0, 5, 5]
    message = rf'images/a\.jpg \(image id 5\).*annotation 7: .*{cause}'
    with pytest.raises(SampleError, match=message):
        coco(tmp_path, [row], pipeline=steps)[0]
    content = json.loads((tmp_path / 'coco.json').read_text())
    content['images'].append({**content['images'][0], 'id': 6})
    polygon = [[0, 0, 5, 0, 5, 5]]
    content['annotations'].append({**row, 'id': 8, 'image_id': 6, 'segmentation': polygon})
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    np.random.seed(0)
    training = CocoInstanceEntityDataset(
        data_root=str(tmp_path), ann_file='coco.json', data_prefix={'img': 'images'}, pipeline=steps
    )
    sample = training[0]['data_samples']
    assert sample.img_id == 6
    assert re.search(message, sample.metainfo['skipped_samples'][0])


def test_a_json_without_masks_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"not a COCO instance json.*'segmentation'"):
        coco(tmp_path, [{'id': 1, 'image_id': 5, 'category_id': 90, 'bbox': [0, 0, 4, 4]}])
