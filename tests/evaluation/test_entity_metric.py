import json

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmentity.evaluation import EntityMetric
from mmentity.evaluation.coco_tables import overlap_table, summarize_tables
from mmentity.structures import EntityMap

CASES = ('perfect', 'noisy_ties', 'empty_on_some', 'crowd', 'over_100', 'areas')
ORDER = (
    *(f'AP{{}}{s}' for s in ('', '_50', '_75', '_s', '_m', '_l')),
    *(f'AR{{}}{s}' for s in ('_1', '_10', '_100', '_s', '_m', '_l')),
)


def ground_truth_of(annotations, height, width):
    entities = EntityMap.from_segmentations([a['segmentation'] for a in annotations], height, width)
    return {
        'gt_entity_map': {'ids': entities.ids},
        'gt_instances': {
            'areas': np.array([a['area'] for a in annotations], float),
            'iscrowd': np.array([a['iscrowd'] for a in annotations], bool),
        },
    }


def samples_of(gt, predictions, device):
    """Samples whose predictions are the masks of a COCO result json."""
    for image in gt['images']:
        size = image['height'], image['width']
        predicted = [p for p in predictions if p['image_id'] == image['id']]
        annotations = [a for a in gt['annotations'] if a['image_id'] == image['id']]
        rles = [p['segmentation'] for p in predicted]
        yield {
            'img_id': image['id'],
            'pred_entity_map': {
                'ids': torch.from_numpy(EntityMap.from_segmentations(rles, *size).ids).to(device)
            },
            'pred_instances': {
                'scores': torch.tensor([p['score'] for p in predicted]).double().to(device),
                'masks': rles,
            },
            **ground_truth_of(annotations, *size),
        }


@pytest.mark.parametrize('case', CASES)
def test_reference_cases(reference, case, device, monkeypatch):
    expected = json.loads((reference.folder / 'ap_e_cases.json').read_text())['cases'][case]
    gt = json.loads((reference.folder / expected['ground_truth']).read_text())
    predictions = json.loads((reference.folder / expected['predictions']).read_text())
    metric = EntityMetric(overlap=True)
    # map and masks hold the same predictions: both ways must give the same metrics
    metric.process({}, list(samples_of(gt, predictions, device)))
    metrics = metric.compute_metrics(metric.results)
    for letter in ('e', ''):
        ours = np.array([metrics[name.format(letter)] for name in ORDER])
        official = np.array(expected['stats'])
        assert np.array_equal(np.isnan(ours), official < 0)
        known = official >= 0
        assert np.abs(ours[known] / 100 - official[known]).max() < 1e-9


def scene(rng, count):
    small = rng.integers(0, count + 1, (7, 9))
    return EntityMap(np.kron(small, np.ones((11, 13), int)), count)


@pytest.mark.parametrize('seed', range(3))
def test_equals_cocoeval_on_masks(seed):
    """The joint histogram gives what encoding every mask and COCOeval gives."""
    rng = np.random.default_rng(seed)
    coco_gt = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'entity'}]}
    coco_dt, tables = [], []
    for image_id in range(1, 5):
        ground_truth, predicted = scene(rng, 12), scene(rng, 20)
        keep = rng.random(ground_truth.ids.shape) < 0.7
        predicted = EntityMap(np.where(keep, ground_truth.ids, predicted.ids), 20)
        scores = rng.integers(1, 6, 20) / 5
        areas = rng.integers(1, 20000, 12).astype(float)
        crowd = rng.random(12) < 0.2
        coco_gt['images'].append(
            {'id': image_id, 'height': ground_truth.height, 'width': ground_truth.width}
        )
        for rle, area, is_crowd in zip(ground_truth.rles(), areas, crowd):
            number = len(coco_gt['annotations']) + 1
            coco_gt['annotations'].append(
                {
                    'id': number,
                    'image_id': image_id,
                    'category_id': 1,
                    'segmentation': rle,
                    'area': area,
                    'iscrowd': int(is_crowd),
                    'bbox': mask_utils.toBbox(rle).tolist(),
                }
            )
        coco_dt += [
            {'image_id': image_id, 'category_id': 1, 'score': s, 'segmentation': rle}
            for s, rle in zip(scores, predicted.rles())
        ]
        tables.append(
            overlap_table(
                scores,
                predicted.areas,
                predicted.intersections(ground_truth),
                ground_truth.areas,
                areas,
                crowd,
            )
        )
    coco = COCO()
    coco.dataset = coco_gt
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(coco_dt), 'segm')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    expected = np.where(evaluation.stats < 0, np.nan, evaluation.stats)
    assert np.nanmax(np.abs(summarize_tables(tables) - expected)) < 1e-12


def test_overlapping_ground_truth_scores_exactly():
    rng = np.random.default_rng(0)
    masks = rng.random((5, 30, 40)) < 0.5
    ground_truth = EntityMap.from_masks(masks)
    assert not ground_truth.is_disjoint
    rles = [mask_utils.encode(np.asfortranarray(m, dtype=np.uint8)) for m in masks]
    sample = {
        'img_id': 1,
        'pred_entity_map': {'ids': EntityMap.from_masks(masks[:1]).ids},
        'pred_instances': {'scores': np.array([0.9]), 'masks': rles[:1]},
        'gt_entity_map': {'ids': ground_truth.ids},
        'gt_instances': {'areas': masks.sum((1, 2)), 'iscrowd': np.zeros(5, bool)},
    }
    metric = EntityMetric(overlap=True)
    metric.process({}, [sample])
    tables = metric.results[0]
    exact = mask_utils.iou(rles[:1], rles, [0] * 5)
    assert np.array_equal(tables['entity'].ious, exact)
    assert np.array_equal(tables['overlap'].ious, exact)


def test_ap_scores_the_masks_before_overlaps_are_resolved():
    masks = np.zeros((2, 20, 20), bool)
    masks[0, :, :12] = masks[1, :, 8:] = True
    ids = np.where(masks[0], 1, 2)
    rles = [mask_utils.encode(np.asfortranarray(m, dtype=np.uint8)) for m in masks]
    sample = {
        'img_id': 1,
        'pred_entity_map': {'ids': ids},
        'pred_instances': {'scores': np.array([0.9, 0.8])},
        'pred_overlap_instances': {'scores': np.array([0.9, 0.8]), 'masks': rles},
        'gt_entity_map': {'ids': EntityMap.from_masks(masks).ids},
        'gt_instances': {'areas': masks.sum((1, 2)), 'iscrowd': np.zeros(2, bool)},
    }
    metric = EntityMetric(overlap=True)
    metric.process({}, [sample])
    metrics = metric.evaluate(1)
    assert metrics['entity/AP'] == pytest.approx(100)
    assert metrics['entity/APe'] < 90


def prediction(with_ground_truth=True):
    ids = np.array([[[1, 1, 0], [0, 2, 2]]])
    sample = {
        'img_id': 7,
        'pred_entity_map': {'ids': ids},
        'pred_instances': {'scores': np.array([0.9, 0.4])},
    }
    if with_ground_truth:
        sample['gt_entity_map'] = {'ids': ids}
        sample['gt_instances'] = {'areas': np.array([2, 2]), 'iscrowd': np.zeros(2, bool)}
    return sample


def test_perfect_prediction_and_result_file(tmp_path):
    metric = EntityMetric(outfile_prefix=str(tmp_path / 'results' / 'demo'))
    metric.process({}, [prediction()])
    metrics = metric.evaluate(1)
    assert metrics['entity/APe'] == pytest.approx(100)
    assert np.isnan(metrics['entity/APe_l'])
    rows = json.loads((tmp_path / 'results' / 'demo.entity.json').read_text())
    assert [row['image_id'] for row in rows] == [7, 7]
    masks = mask_utils.decode([row['segmentation'] for row in rows])
    assert masks[..., 1].tolist() == [[0, 0, 0], [0, 1, 1]]
    assert [p.name for p in (tmp_path / 'results').iterdir()] == ['demo.entity.json']


def test_format_only_needs_no_ground_truth(tmp_path):
    metric = EntityMetric(format_only=True, outfile_prefix=str(tmp_path / 'demo'))
    metric.process({}, [prediction(with_ground_truth=False)])
    assert metric.evaluate(1) == {}
    assert (tmp_path / 'demo.entity.json').is_file()


def test_tables_are_small_enough_to_gather():
    """1,300 images of 100 predictions and 30 ground-truth entities stay below 50 MB."""
    import pickle

    rng = np.random.default_rng(0)
    table = overlap_table(
        rng.random(100), np.full(100, 9), rng.integers(0, 9, (100, 30)), *[np.full(30, 9)] * 2,
        np.zeros(30, bool),
    )  # fmt: skip
    assert len(pickle.dumps({'img_id': 1, 'entity': table})) * 1300 < 50e6


@pytest.mark.parametrize(
    ('options', 'sample', 'message'),
    [
        (
            {},
            prediction(with_ground_truth=False),
            'image 7 has no ground truth .* LoadEntityAnnotations',
        ),
        ({}, {'img_id': 3}, 'image 3 has no pred_entity_map'),
        ({'overlap': True}, prediction(), 'image 7 has no masks .* instance_on'),
    ],
)
def test_exceptions(options, sample, message):
    with pytest.raises(ValueError, match=message):
        EntityMetric(**options).process({}, [sample])


def test_format_only_says_that_it_needs_a_place():
    with pytest.raises(ValueError, match='outfile_prefix'):
        EntityMetric(format_only=True)
