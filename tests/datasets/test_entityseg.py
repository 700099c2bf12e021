import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from PIL import Image

from mmentity.datasets import CocoEntityDataset, EntitySegDataset, SampleError
from mmentity.datasets.categories import entity_categories
from mmentity.datasets.layout import other_family_name
from tests.conftest import ROOT

ANN = 'annotations/entity_segmentation/'
TRAIN = [f'{ANN}entityv2_{part}_entity_train.json' for part in ('01', '02', '03')]
PIPELINE = [
    {'type': 'mmentity.LoadEntityImage'},
    {'type': 'mmentity.LoadEntityAnnotations'},
    {'type': 'mmentity.ResizeViews', 'short_side': 32, 'long_side': 64},
    {'type': 'mmentity.PackEntityInputs'},
]


def dataset(root, ann_file=f'{ANN}entityv2_01_entity_train.json', **options):
    return DATASETS.build(
        {
            'type': 'mmentity.EntitySegDataset',
            'data_root': str(root),
            'ann_file': ann_file,
            'data_prefix': {'img': 'images/'},
            'pipeline': PIPELINE,
            **options,
        }
    )


def test_type_resolves_from_mmdet_without_an_import(demo_root):
    assert isinstance(dataset(demo_root), EntitySegDataset)


def test_several_files_get_unique_ids(demo_root):
    merged = dataset(demo_root, TRAIN)
    infos = [merged.get_data_info(i) for i in range(len(merged))]
    assert [info['img_id'] for info in infos] == [1, 2, 3, 4, 5, 6]
    assert [info['ann_img_id'] for info in infos] == [1, 2, 3, 4, 1, 1]
    assert len({info['img_path'] for info in infos}) == 6
    single = dataset(demo_root, TRAIN[1])
    assert infos[4]['instances'] == single.get_data_info(0)['instances']
    assert infos[4]['img_path'] == single.get_data_info(0)['img_path']


def test_categories_are_kept_by_id(demo_root):
    info = dataset(demo_root).get_data_info(0)
    known = {category['id'] for category in entity_categories()}
    assert {instance['category_id'] for instance in info['instances']} <= known
    assert {instance['bbox_label'] for instance in info['instances']} == {0}
    assert dataset(demo_root).metainfo['classes'] == ('entity',)


@pytest.mark.parametrize(
    ('name', 'other'),
    [
        ('entityv2_010203_entity_train.json', 'entityseg_train.json'),
        ('entityv2_010203_entity_val_lr.json', 'entityseg_val_lr.json'),
        ('entityv2_02_entity_train.json', 'entityseg_train_02.json'),
        ('instances_val2017.json', None),
    ],
)
def test_both_families_of_names(name, other):
    assert other_family_name(name) == other
    if other:
        assert other_family_name(other) == name


def test_the_other_family_is_read(demo_root, tmp_path):
    (tmp_path / ANN).mkdir(parents=True)
    shutil.copy(
        demo_root / ANN / 'entityv2_010203_entity_val.json', tmp_path / ANN / 'entityseg_val.json'
    )
    asked = dataset(tmp_path, f'{ANN}entityv2_010203_entity_val.json', pipeline=[])
    assert len(asked) == 3


def broken_copy(demo_root, tmp_path, change):
    """Copy one annotation file and let ``change`` edit its content."""
    content = json.loads((demo_root / TRAIN[0]).read_text())
    change(content)
    path = tmp_path / 'broken.json'
    path.write_text(json.dumps(content))
    return str(path)


def test_filter_cfg(demo_root, tmp_path):
    def drop_annotations_of_image_1(content):
        content['annotations'] = [a for a in content['annotations'] if a['image_id'] != 1]

    path = broken_copy(demo_root, tmp_path, drop_annotations_of_image_1)
    assert len(dataset(demo_root, path)) == 4
    assert len(dataset(demo_root, path, filter_cfg={'filter_empty_gt': True})) == 3
    assert len(dataset(demo_root, path, filter_cfg={'filter_empty_gt': True}, test_mode=True)) == 4
    assert len(dataset(demo_root, filter_cfg={'min_size': 96})) == 4
    with pytest.raises(ValueError, match='of the 4 images of .* none is left; check'):
        dataset(demo_root, filter_cfg={'min_size': 97})
    sample = dataset(demo_root, path)[0]['data_samples']
    assert len(sample.gt_instances) == 0


def test_missing_and_foreign_annotation_files(demo_root, tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing_train.json does not exist; check'):
        dataset(demo_root, f'{ANN}nothing_train.json')
    (tmp_path / 'cut.json').write_text('{"images": [')
    with pytest.raises(ValueError, match=r'cut\.json is not a complete json'):
        dataset(demo_root, str(tmp_path / 'cut.json'))
    (tmp_path / 'other.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match=r"other\.json has no 'annotations'"):
        dataset(demo_root, str(tmp_path / 'other.json'))


def lose_image(content):
    content['images'][0]['file_name'] = 'lost.jpg'


def cut_rle(content):
    row = next(a for a in content['annotations'] if a['image_id'] == 1)
    row['segmentation'] = {'size': [4, 4], 'counts': '05;'}


@pytest.mark.parametrize(
    ('change', 'message'), [(lose_image, r'lost\.jpg'), (cut_rle, 'image id 1.*RLE of size 4x4')]
)
def test_bad_samples_are_replaced_in_training_and_stop_a_test(demo_root, tmp_path, change, message):
    path = broken_copy(demo_root, tmp_path, change)
    np.random.seed(0)
    sample = dataset(demo_root, path)[0]['data_samples']
    assert sample.img_id in (2, 3, 4)
    messages = sample.metainfo['skipped_samples']
    assert len(messages) >= 1
    assert message.split('.*')[0].replace('\\', '') in messages[0]
    assert 'skipped_samples' not in dataset(demo_root, path)[1]['data_samples'].metainfo
    with pytest.raises(SampleError, match=message):
        dataset(demo_root, path, test_mode=True)[0]


def test_only_bad_samples_end_with_a_message(demo_root):
    lost = dataset(demo_root, data_prefix={'img': 'elsewhere/'}, max_refetch=3)
    with pytest.raises(SampleError, match='4 samples in a row are unusable, the last: .*elsewhere'):
        lost[0]


COCO = ROOT.parent / 'shared' / 'coco_samples'


@pytest.fixture
def coco_root():
    if not (COCO / 'panoptic.json').is_file():
        pytest.skip('the two COCO images are not here; put them into ../shared/coco_samples')
    return COCO


def coco_dataset(root, **options):
    return CocoEntityDataset(
        data_root=str(root),
        ann_file='panoptic.json',
        data_prefix={'img': 'images/', 'seg': 'panoptic/'},
        test_mode=True,
        **options,
    )


def test_coco_panoptic_as_entities(coco_root):
    content = json.loads((coco_root / 'panoptic.json').read_text())
    data = coco_dataset(coco_root, pipeline=PIPELINE[:2])
    assert len(data) == 2
    for results, annotation in zip(data, content['annotations']):
        segments = annotation['segments_info']
        assert results['gt_masks'].entities.areas.tolist() == [s['area'] for s in segments]
        assert results['gt_ignore_flags'].tolist() == [bool(s['iscrowd']) for s in segments]
        boxes = results['gt_masks'].entities.boxes_xyxy_px
        boxes[:, 2:] -= boxes[:, :2]
        assert boxes.tolist() == [s['bbox'] for s in segments]


def test_a_file_of_another_task_is_refused(demo_root, tmp_path):
    content = {'images': [{'id': 1}], 'annotations': [{'image_id': 1}]}
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r'no segments_info for image 1; it is not a COCO panoptic'
    ):
        CocoEntityDataset(ann_file=str(tmp_path / 'a.json'), pipeline=[])


def test_truncated_image_is_skipped(demo_root, tmp_path):
    shutil.copytree(demo_root, tmp_path / 'copy')
    info = dataset(tmp_path / 'copy').get_data_info(0)
    path = Path(info['img_path'])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sample = dataset(tmp_path / 'copy')[0]['data_samples']
    assert 'truncated' in sample.metainfo['skipped_samples'][0]
    with pytest.raises(OSError, match='truncated'):
        Image.open(info['img_path']).load()
