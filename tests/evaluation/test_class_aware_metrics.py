"""Class-aware metrics: the ground truth scores 100, known errors what they must."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.evaluation import IoUMetric
from PIL import Image
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmentity.datasets import (
    EntitySegInstanceDataset,
    EntitySegPanopticDataset,
    EntitySegSemanticDataset,
)
from mmentity.evaluation import EntitySegInstanceMetric, EntitySegPanopticMetric
from tests.conftest import ROOT

IMAGES = 'images/entity_01_11580/'
PIPELINE = [
    {'type': 'mmentity.LoadEntityImage'},
    {'type': 'mmentity.ResizeViews', 'short_side': 32},
    {'type': 'mmentity.LoadEntityAnnotations'},
    {'type': 'mmentity.PackEntityInputs'},
]
INSTANCES = 'annotations/instance_segmentation/entityv2_01_instances_train.json'


def samples_of(dataset):
    return [dataset[i]['data_samples'] for i in range(len(dataset))]


def score(metric, dataset, samples):
    metric.dataset_meta = dataset.metainfo
    for sample in samples:
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(samples))


def instance_set(root):
    return EntitySegInstanceDataset(
        data_root=str(root),
        ann_file=INSTANCES,
        data_prefix={'img': IMAGES},
        pipeline=PIPELINE,
        test_mode=True,
    )


def predict_instances(dataset, shift=0):
    """The ground truth as prediction, moved to the right by some px."""
    samples = samples_of(dataset)
    for index, sample in enumerate(samples):
        records = dataset.get_data_info(index)['instances']
        masks = mask_utils.decode([record['mask'] for record in records])
        rles = mask_utils.encode(np.asfortranarray(np.roll(masks, shift, axis=1)))
        sample.pred_instances = InstanceData(
            scores=torch.linspace(1, 0.5, len(records)),
            labels=torch.tensor([record['bbox_label'] for record in records]),
            bboxes=torch.zeros(len(records), 4),
        )
        sample.pred_instances.masks = rles
    return samples


def test_true_instances_score_100(demo_root):
    dataset = instance_set(demo_root)
    metric = EntitySegInstanceMetric(ann_file=str(demo_root / INSTANCES))
    metrics = score(metric, dataset, predict_instances(dataset))
    assert metrics['coco/segm_mAP'] == metrics['coco/segm_mAP_50'] == 100


def test_moved_instances_score_as_pycocotools_says(demo_root):
    dataset = instance_set(demo_root)
    samples = predict_instances(dataset, shift=3)
    metric = EntitySegInstanceMetric(ann_file=str(demo_root / INSTANCES))
    metrics = score(metric, dataset, samples)
    rows = [
        {
            'image_id': sample.img_id,
            'category_id': dataset.metainfo['category_ids'][int(label)],
            'score': float(value),
            'segmentation': mask,
        }
        for sample in samples
        for label, value, mask in zip(
            sample.pred_instances.labels, sample.pred_instances.scores, sample.pred_instances.masks
        )
    ]
    with redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(demo_root / INSTANCES))
        reference = COCOeval(ground_truth, ground_truth.loadRes(rows), 'segm')
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    assert 0 < metrics['coco/segm_mAP'] < 100
    for index, name in enumerate(('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m')):
        expected = 100 * reference.stats[index]
        if expected < 0:
            assert np.isnan(metrics[f'coco/segm_{name}'])
        else:
            assert metrics[f'coco/segm_{name}'] == pytest.approx(expected, abs=0.051)


def semantic_set(root):
    folder = 'annotations/semantic_segmentation/'
    return EntitySegSemanticDataset(
        data_root=str(root),
        ann_file=folder + 'train.txt',
        data_prefix={'img': IMAGES, 'seg': folder + 'semantic_maps_train/'},
        pipeline=PIPELINE,
        test_mode=True,
    )


def test_true_classes_score_100(demo_root):
    dataset = semantic_set(demo_root)
    samples = samples_of(dataset)
    for sample in samples:
        # what is to be ignored may hold any class
        data = sample.gt_sem_seg.data.int()
        sample.pred_sem_seg = PixelData(data=torch.where(data == 255, 7, data))
    metrics = score(IoUMetric(iou_metrics=['mIoU']), dataset, samples)
    assert metrics == {'aAcc': 100, 'mIoU': 100, 'mAcc': 100}
    for sample in samples:
        sample.pred_sem_seg.data[..., :5] = 149
    assert score(IoUMetric(iou_metrics=['mIoU']), dataset, samples)['mIoU'] < 100


def panoptic_set(root, **options):
    folder = 'annotations/panoptic_segmentation/'
    options = {
        'ann_file': folder + 'entityv2_01_panoptic_train.json',
        'data_prefix': {'img': IMAGES, 'seg': folder + 'panoptic_maps_train/'},
        **options,
    }
    return EntitySegPanopticDataset(
        data_root=str(root), pipeline=PIPELINE, test_mode=True, **options
    )


def predict_segments(dataset):
    """The ground truth in mmdet's form: class + 1000 x number of the thing."""
    samples = samples_of(dataset)
    num_classes, num_things = (len(dataset.metainfo[k]) for k in ('classes', 'thing_classes'))
    for sample in samples:
        values = [num_classes]
        for number, label in enumerate(sample.gt_instances.labels.tolist(), start=1):
            values.append(label + 1000 * number * (label < num_things))
        table = torch.tensor(values, dtype=torch.int32)
        sample.pred_panoptic_seg = PixelData(sem_seg=table[sample.gt_entity_map.ids.long()])
    return samples


def test_true_segments_score_100(demo_root):
    dataset = panoptic_set(demo_root)
    metrics = score(EntitySegPanopticMetric(), dataset, predict_segments(dataset))
    assert {metrics[f'coco_panoptic/{name}'] for name in ('PQ', 'SQ', 'RQ')} == {100}
    assert {metrics[f'coco_panoptic/{name}'] for name in ('PQ_th', 'PQ_st')} == {100}


def test_true_segments_of_two_real_images_score_100():
    folder = ROOT.parent / 'shared' / 'coco_samples'
    if not folder.is_dir():
        pytest.skip('the COCO images are not here; put them into ../shared/coco_samples')
    categories = json.loads((folder / 'panoptic.json').read_text())['categories']
    categories = sorted(categories, key=lambda category: not category['isthing'])
    metainfo = {
        'classes': tuple(category['name'] for category in categories),
        'thing_classes': tuple(c['name'] for c in categories if c['isthing']),
        'stuff_classes': tuple(c['name'] for c in categories if not c['isthing']),
        'category_ids': tuple(category['id'] for category in categories),
    }
    dataset = panoptic_set(
        folder,
        ann_file='panoptic.json',
        data_prefix={'img': 'images/', 'seg': 'panoptic/'},
        metainfo=metainfo,
    )
    assert len(dataset) == 2
    metrics = score(EntitySegPanopticMetric(), dataset, predict_segments(dataset))
    assert {round(value, 9) for value in metrics.values()} == {100}
    assert metrics['coco_panoptic/PQ'] == 100


def hand_made(tmp_path, ground_truth, prediction):
    """A sample whose things 0, 1 are 'man', 'car' and whose stuff 279 is the first stuff."""
    ids = np.array(ground_truth)
    png = np.zeros((*ids.shape, 3), np.uint8)
    png[..., 0] = ids
    Image.fromarray(png).save(tmp_path / 'a.png')
    labels = {1: 0, 2: 1, 3: 279}
    return {
        'img_id': 1,
        'img_path': 'images/a.jpeg',
        'ori_shape': ids.shape,
        'seg_map_path': str(tmp_path / 'a.png'),
        'segments_info': [
            {'id': k, 'category': label, 'is_thing': label < 279, 'iscrowd': False}
            for k, label in labels.items()
            if (ids == k).any()
        ],
        'pred_panoptic_seg': {'sem_seg': torch.tensor(prediction, dtype=torch.int32)[None]},
    }


def test_pq_of_an_image_drawn_by_hand(tmp_path):
    ground_truth = [[1, 1, 1, 1], [2, 2, 0, 3], [2, 2, 3, 3]]
    prediction = [[1000, 1000, 1000, 350], [350, 350, 2001, 279], [279, 350, 279, 279]]
    metric = EntitySegPanopticMetric()
    metric.dataset_meta = EntitySegPanopticDataset.METAINFO
    sample = hand_made(tmp_path, ground_truth, prediction)
    metric.process({}, [sample])
    # what is drawn after scoring is what was predicted
    assert sample['pred_panoptic_seg']['sem_seg'][0].tolist() == prediction
    metrics = metric.evaluate(1)
    # man: IoU 3/4; car: one is missed, its false prediction is on void pixels alone and does not
    # count; stuff: IoU 3/4
    assert metrics['coco_panoptic/SQ_th'] == pytest.approx(100 * (0.75 + 0) / 2)
    assert metrics['coco_panoptic/PQ_th'] == pytest.approx(100 * 0.75 / 2)
    assert metrics['coco_panoptic/PQ_st'] == pytest.approx(75)
    assert metrics['coco_panoptic/PQ'] == pytest.approx(100 * (0.75 + 0 + 0.75) / 3)


def test_panoptic_ground_truth_from_the_annotation_file(demo_root):
    folder = demo_root / 'annotations/panoptic_segmentation'
    metric = EntitySegPanopticMetric(
        ann_file=str(folder / 'entityv2_01_panoptic_train.json'),
        seg_prefix=str(folder / 'panoptic_maps_train'),
    )
    dataset = panoptic_set(demo_root)
    samples = predict_segments(dataset)
    bare = [type(s)(metainfo={'img_id': s.img_id, 'ori_shape': s.ori_shape}) for s in samples]
    for one, full in zip(bare, samples):
        one.pred_panoptic_seg = full.pred_panoptic_seg
    assert score(metric, dataset, bare)['coco_panoptic/PQ'] == 100
    with pytest.raises(ValueError, match='image 99 is not in .*panoptic_train.json; give'):
        metric.process({}, [{'img_id': 99}])


def test_panoptic_maps_of_two_folders_are_refused(tmp_path):
    metric = EntitySegPanopticMetric()
    metric.dataset_meta = EntitySegPanopticDataset.METAINFO
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    metric.process({}, [hand_made(tmp_path / 'a', [[1, 2]] * 2, [[1000, 350]] * 2)])
    with pytest.raises(ValueError, match='are in two folders, .*/a and .*/b; give each dataset'):
        metric.process({}, [hand_made(tmp_path / 'b', [[1, 2]] * 2, [[1000, 350]] * 2)])


def test_panoptic_sample_without_ground_truth_is_named():
    with pytest.raises(ValueError, match='image 5 has no segments_info to score against; pack'):
        EntitySegPanopticMetric().process({}, [{'img_id': 5}])


def test_missing_panopticapi_is_one_message(monkeypatch):
    monkeypatch.setattr('mmentity.evaluation.class_aware_metrics.find_spec', lambda name: None)
    with pytest.raises(ImportError, match='PQ needs the package panopticapi; run: pip install'):
        EntitySegPanopticMetric()
