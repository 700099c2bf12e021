"""Boundary AP from entity maps against erosion of every mask and COCOeval."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage

from mmentity.evaluation import EntityMetric
from mmentity.structures import EntityMap

NAMES = [f'AP{{}}{s}' for s in ('', '_50', '_75', '_s', '_m', '_l')]
NAMES += [f'AR{{}}{s}' for s in ('_1', '_10', '_100', '_s', '_m', '_l')]
SIZE = (120, 160)  # bands of 4 px


def encode(mask):
    return mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))


class BruteForce(COCOeval):
    """COCOeval whose overlap is the lesser of mask IoU and IoU of bands, but of crowds."""

    def computeIoU(self, imgId, catId):  # noqa: N802
        ious = super().computeIoU(imgId, catId)
        gt, dt = self._gts[imgId, catId], self._dts[imgId, catId]
        if not (gt and dt):
            return ious
        dt = sorted(dt, key=lambda row: -row['score'])[: self.params.maxDets[-1]]
        gt_bands, bands = ([self.band(row) for row in rows] for rows in (gt, dt))
        crowd = [row['iscrowd'] for row in gt]
        lesser = np.minimum(ious, mask_utils.iou(bands, gt_bands, crowd))
        return np.where(np.array(crowd, bool), ious, lesser)

    @staticmethod
    def band(row):
        mask = mask_utils.decode(row['segmentation']).astype(bool)
        distance = round(0.02 * np.hypot(*mask.shape))
        square = np.ones((2 * distance + 1,) * 2, bool)
        return encode(mask & ~ndimage.binary_erosion(mask, square, border_value=0))


def scene(rng, count, overlap):
    """Ground-truth masks of all sizes; disjoint or not."""
    masks = np.zeros((count, *SIZE), bool)
    rest = np.ones(SIZE, bool)
    for mask in masks:
        y, x = rng.integers(0, 100), rng.integers(0, 140)
        h, w = rng.integers(2, 90, 2)
        mask[y : y + h, x : x + w] = True
        mask &= rest
        if not overlap:
            rest &= ~mask
    return masks


def prediction(rng, masks, count):
    """Masks of the ground truth a little beside their places, and noise; one id map."""
    ids = np.zeros(SIZE, int)
    for k in range(count):
        moved = np.roll(masks[k % len(masks)], rng.integers(-2, 3, 2), (0, 1))
        ids[moved & (rng.random(SIZE) < 0.998)] = k + 1
    return EntityMap(ids, count)


def samples(seed, overlap):
    """Samples as the runner gives them, with all predictions of an image above 100 in one."""
    rng = np.random.default_rng(seed)
    for image_id in range(1, 7):
        masks = scene(rng, 8, overlap)
        count = 120 if image_id == 2 else 12
        predicted = prediction(rng, masks, count)
        ground_truth = EntityMap.from_masks(masks if image_id != 3 else masks[:0].reshape(0, *SIZE))
        number = ground_truth.num_entities
        yield {
            'img_id': image_id,
            'pred_entity_map': {'ids': predicted.ids},
            'pred_instances': {
                'scores': rng.integers(1, 6, count) / 5,
                'masks': predicted.rles(),
            },
            'gt_entity_map': {'ids': ground_truth.ids},
            'gt_instances': {
                'areas': rng.integers(1, 20000, number).astype(float),
                'iscrowd': rng.random(number) < 0.25,
            },
        }


def brute_force(found):
    """The twelve metrics, in percent."""
    coco_gt = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'entity'}]}
    rows = []
    for sample in found:
        image_id, annotated = sample['img_id'], sample['gt_instances']
        coco_gt['images'].append({'id': image_id, 'height': SIZE[0], 'width': SIZE[1]})
        ground_truth = EntityMap(sample['gt_entity_map']['ids'], len(annotated['areas']))
        for mask, area, crowd in zip(
            ground_truth.masks(), annotated['areas'], annotated['iscrowd']
        ):
            number = len(coco_gt['annotations']) + 1
            coco_gt['annotations'].append(
                dict(
                    id=number, image_id=image_id, category_id=1, segmentation=encode(mask),
                    area=area, iscrowd=int(crowd),
                )
            )  # fmt: skip
        of = sample['pred_instances']
        rows += [
            {'image_id': image_id, 'category_id': 1, 'score': score, 'segmentation': rle}
            for score, rle in zip(of['scores'], of['masks'])
        ]
    coco = COCO()
    coco.dataset = coco_gt
    coco.createIndex()
    evaluation = BruteForce(coco, coco.loadRes(rows), 'segm')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100 * np.where(evaluation.stats < 0, np.nan, evaluation.stats)


@pytest.mark.parametrize('overlap', [False, True])
@pytest.mark.parametrize('seed', range(2))
def test_equals_brute_force(seed, overlap):
    """From the maps and mask by mask, with crowds, ties and overlapping ground truth."""
    found = list(samples(seed, overlap))
    metric = EntityMetric(overlap=True, boundary=True)
    metric.process({}, found)
    metrics = metric.compute_metrics(metric.results)
    expected = brute_force(found)
    assert expected[0] < metrics['APe'] - 1
    for letter in ('e', ''):
        ours = np.array([metrics[f'boundary_{name}'.format(letter)] for name in NAMES])
        assert np.abs(ours - expected).max() < 1e-9


def test_other_metrics_stay_as_they_are():
    found = list(samples(5, True))
    metrics = []
    for boundary in (False, True):
        metric = EntityMetric(overlap=True, boundary=boundary)
        metric.process({}, found)
        metrics.append(metric.evaluate(len(found)))
    plain, both = metrics
    assert {name: both[name] for name in plain} == plain
    assert set(both) - set(plain) == {name.replace('/', '/boundary_') for name in plain}


def test_a_shifted_entity_by_hand():
    """20x20 px in 100x100, bands of 3 px; 2 px to the right."""
    gt, ids = np.zeros((2, 100, 100), int)
    gt[40:60, 40:60] = ids[40:60, 42:62] = 1
    sample = {
        'img_id': 1,
        'pred_entity_map': {'ids': ids},
        'pred_instances': {'scores': np.array([0.9])},
        'gt_entity_map': {'ids': gt},
        'gt_instances': {'areas': np.array([400.0]), 'iscrowd': np.zeros(1, bool)},
    }
    metric = EntityMetric(boundary=True)
    metric.process({}, [sample])
    (result,) = metric.results
    assert result['entity'].ious == 360 / 440
    # bands of 400 - 14 * 14 px; of the 360 shared px 14 x 12 are inside of both, 14 x 2 of
    # either one, twice
    shared = 360 - 14 * 12 - 2 * 14 * 2
    assert result['boundary_entity'].ious == shared / (2 * 204 - shared)
    metrics = metric.evaluate(1)
    assert metrics['entity/boundary_APe_50'] == pytest.approx(100)
    assert metrics['entity/boundary_APe_75'] == 0
    assert metrics['entity/APe_75'] == pytest.approx(100)


def test_format_only_scores_nothing(tmp_path):
    with pytest.raises(ValueError, match='omit it, or boundary'):
        EntityMetric(format_only=True, outfile_prefix=str(tmp_path / 'demo'), boundary=True)
