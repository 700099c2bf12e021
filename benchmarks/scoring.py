"""AP^e of 20 images from entity maps, against encoding every mask and running COCOeval.

``boundary`` is AP^e and boundary AP^e together.

python benchmarks/scoring.py
"""

import contextlib
import io
import pickle
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from measuring import measure, run
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scenes import entity_ids

from mmentity.evaluation import EntityMetric
from mmentity.structures import EntityMap

IMAGES, SIZE, PREDICTIONS, ENTITIES = 20, (1500, 2000), 100, 25


class Sample(NamedTuple):
    """Ground truth and prediction of an image; maps int32 ``(H, W)``, areas in px."""

    gt_ids: np.ndarray
    gt_areas: np.ndarray
    ids: np.ndarray
    scores: np.ndarray


@cache
def samples() -> list[Sample]:
    """All images; two maps of ground truth and two predicted ones."""
    gt_ids = [entity_ids(*SIZE, ENTITIES), entity_ids(*SIZE, ENTITIES)[:, ::-1].copy()]
    # known beforehand, as from the json
    gt_areas = [np.bincount(ids.ravel(), minlength=ENTITIES + 1)[1:] * 1.0 for ids in gt_ids]
    predicted = [entity_ids(*SIZE, PREDICTIONS), np.roll(gt_ids[0], 12, axis=1)]
    return [
        Sample(
            gt_ids[k % 2],
            gt_areas[k % 2],
            predicted[k // 2 % 2],
            np.sort(np.random.default_rng(k).random(PREDICTIONS))[::-1].copy(),
        )
        for k in range(IMAGES)
    ]


def from_maps(boundary: bool = False) -> np.ndarray:
    """The twelve metrics through :class:`EntityMetric`, with those of boundaries twice as many."""
    metric = EntityMetric(boundary=boundary)
    for k in range(IMAGES):
        metric.process({}, [as_sample(k)])
    return np.array(list(metric.compute_metrics(metric.results).values()))


def as_sample(k: int) -> dict:
    """Image k as the runner hands it to metrics."""
    sample = samples()[k]
    return {
        'img_id': k,
        'pred_entity_map': {'ids': torch.from_numpy(sample.ids)[None]},
        'pred_instances': {'scores': torch.from_numpy(sample.scores)},
        'gt_entity_map': {'ids': torch.from_numpy(sample.gt_ids)[None]},
        'gt_instances': {
            'areas': torch.from_numpy(sample.gt_areas),
            'iscrowd': torch.zeros(ENTITIES, dtype=torch.bool),
        },
    }


def from_masks(ground_truth: COCO) -> np.ndarray:
    """The same, every mask encoded by pycocotools, one after the other."""
    rows = []
    for k in range(IMAGES):
        sample = samples()[k]
        for number, score in enumerate(sample.scores, start=1):
            rle = mask_utils.encode(np.asfortranarray(sample.ids == number, dtype=np.uint8))
            rows.append(_row(k, rle, score=float(score)))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(rows), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * np.where(evaluation.stats < 0, np.nan, evaluation.stats)


def coco_ground_truth() -> COCO:
    """The ground truth as a COCO data set; made beforehand, as from its json."""
    annotations = []
    for k in range(IMAGES):
        for rle in EntityMap(samples()[k].gt_ids, ENTITIES).rles():
            area = float(mask_utils.area(rle))
            annotations.append(_row(k, rle, area=area, iscrowd=0, id=len(annotations) + 1))
    ground_truth = COCO()
    ground_truth.dataset = {
        'info': {},
        'images': [{'id': k, 'height': SIZE[0], 'width': SIZE[1]} for k in range(IMAGES)],
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'entity'}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
    return ground_truth


def _row(k: int, rle: dict, **values) -> dict:
    return {'image_id': k, 'category_id': 1, 'segmentation': rle, **values}


def measure_case(case: dict) -> dict:
    """Measure one way, compare both, or weigh what processes exchange."""
    samples()
    if case['variant'] == 'mmentity':
        return measure(from_maps)
    if case['variant'] == 'boundary':
        return measure(lambda: from_maps(boundary=True))
    if case['variant'] == 'gathered':
        metric = EntityMetric()
        metric.process({}, [as_sample(0)])
        return {'mb_of_1300_images': 1300 * len(pickle.dumps(metric.results[0])) / 1e6}
    ground_truth = coco_ground_truth()
    if case['variant'] == 'pycocotools':
        return measure(
            lambda: from_masks(ground_truth), case.get('repeat', 5), case.get('repeat', 5) > 1
        )
    difference = np.nan_to_num(from_maps() - from_masks(ground_truth))
    return {'largest_difference': float(np.abs(difference).max() / 100)}


VARIANTS = ('difference', 'mmentity', 'boundary', 'pycocotools', 'gathered')
CASES = [{'variant': name} for name in VARIANTS]

if __name__ == '__main__':
    run(__file__, CASES, measure_case, 'scoring')
