"""AP^e of 20 pictures from entity maps, against encoding every mask and running COCOeval.

python benchmarks/scoring.py
"""

import contextlib
import io
import pickle
from functools import cache

import numpy as np
import torch
from measuring import measure, run
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scenes import entity_ids

from mmentity.evaluation import EntityMetric
from mmentity.structures import EntityMap

PICTURES, SIZE, PREDICTIONS, TRUTHS = 20, (1500, 2000), 100, 25


@cache
def maps() -> tuple:
    """Two true maps and two predicted ones, int32 ``(H, W)``."""
    truths = [entity_ids(*SIZE, TRUTHS), entity_ids(*SIZE, TRUTHS)[:, ::-1].copy()]
    return truths, [entity_ids(*SIZE, PREDICTIONS), np.roll(truths[0], 12, axis=1)]


def sample_of(k: int) -> tuple:
    """True map, predicted map and scores of the k-th picture."""
    truths, predicted = maps()
    scores = np.random.default_rng(k).random(PREDICTIONS)
    return truths[k % 2], predicted[k // 2 % 2], np.sort(scores)[::-1].copy()


def from_maps() -> np.ndarray:
    """The twelve figures through :class:`EntityMetric`."""
    metric = EntityMetric()
    for k in range(PICTURES):
        metric.process({}, [as_sample(k)])
    return np.array(list(metric.compute_metrics(metric.results).values()))


def as_sample(k: int) -> dict:
    """Picture k as the runner hands it to metrics."""
    truth, predicted, scores = sample_of(k)
    areas = torch.from_numpy(np.bincount(truth.ravel(), minlength=TRUTHS + 1)[1:].astype(float))
    crowd = torch.zeros(TRUTHS, dtype=torch.bool)
    return {
        'img_id': k,
        'pred_entity_map': {'ids': torch.from_numpy(predicted)[None]},
        'pred_instances': {'scores': torch.from_numpy(scores)},
        'gt_entity_map': {'ids': torch.from_numpy(truth)[None]},
        'gt_instances': {'areas': areas, 'iscrowd': crowd},
    }


def from_masks(truth: COCO) -> np.ndarray:
    """The same, every mask encoded by pycocotools, one after the other."""
    rows = []
    for k in range(PICTURES):
        _, predicted, scores = sample_of(k)
        for number, score in enumerate(scores, start=1):
            rle = mask_utils.encode(np.asfortranarray(predicted == number, dtype=np.uint8))
            rows.append(_row(k, rle, score=float(score)))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(rows), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * np.where(evaluation.stats < 0, np.nan, evaluation.stats)


def coco_truth() -> COCO:
    """The truth as a COCO data set; made beforehand, as from its json."""
    annotations = []
    for k in range(PICTURES):
        for rle in EntityMap(sample_of(k)[0], TRUTHS).rles():
            area = float(mask_utils.area(rle))
            annotations.append(_row(k, rle, area=area, iscrowd=0, id=len(annotations) + 1))
    truth = COCO()
    truth.dataset = {
        'info': {},
        'images': [{'id': k, 'height': SIZE[0], 'width': SIZE[1]} for k in range(PICTURES)],
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'entity'}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _row(k: int, rle: dict, **values) -> dict:
    return {'image_id': k, 'category_id': 1, 'segmentation': rle, **values}


def measure_case(case: dict) -> dict:
    """Measure one way, compare both, or weigh what processes exchange."""
    maps()
    if case['variant'] == 'mmentity':
        return measure(from_maps)
    if case['variant'] == 'gathered':
        metric = EntityMetric()
        metric.process({}, [as_sample(0)])
        return {'mb_of_1300_pictures': 1300 * len(pickle.dumps(metric.results[0])) / 1e6}
    truth = coco_truth()
    if case['variant'] == 'pycocotools':
        return measure(lambda: from_masks(truth), case.get('repeat', 5), case.get('repeat', 5) > 1)
    difference = np.nan_to_num(from_maps() - from_masks(truth))
    return {'largest_difference': float(np.abs(difference).max() / 100)}


CASES = [{'variant': name} for name in ('difference', 'mmentity', 'pycocotools', 'gathered')]

if __name__ == '__main__':
    run(__file__, CASES, measure_case, 'scoring')
