"""COCO's matching and accumulation on tables of overlaps instead of masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np
from pycocotools.cocoeval import COCOeval

MAX_DETS = (1, 10, 100)
# places of the metrics among those of COCO, by what is added to AP and AR
PRECISIONS = {'': 0, '_50': 1, '_75': 2, '_s': 3, '_m': 4, '_l': 5}
RECALLS = {'_1': 6, '_10': 7, '_100': 8, '_s': 9, '_m': 10, '_l': 11}


@dataclass(frozen=True)
class OverlapTable:
    """All that COCO's AP needs to know of one image.

    Attributes:
        scores: Best predictions in descending score, float64 ``(D,)``, D <= 100.
        areas: Pixels of each prediction, int64 ``(D,)``.
        gt_areas: Annotated area of each ground-truth entity, px, float64 ``(G,)``.
        gt_iscrowd: bool ``(G,)``.
        ious: float64 ``(D, G)``; against a crowd, intersection over prediction.
    """

    scores: np.ndarray
    areas: np.ndarray
    gt_areas: np.ndarray
    gt_iscrowd: np.ndarray
    ious: np.ndarray


def overlap_table(
    scores: np.ndarray,
    areas: np.ndarray,
    intersections: np.ndarray,
    gt_pixels: np.ndarray,
    gt_areas: np.ndarray,
    gt_iscrowd: np.ndarray,
) -> OverlapTable:
    """Make the table of one image from pixel counts.

    Args:
        scores: Score of each prediction, ``(N,)``.
        areas: Pixels of each prediction, ``(N,)``.
        intersections: Shared pixels, int64 ``(N, G)``.
        gt_pixels: Pixels of each ground-truth entity, ``(G,)``.
        gt_areas: Area of each ground-truth entity as annotated, ``(G,)``; decides its
            size range.
        gt_iscrowd: bool ``(G,)``.
    """
    best = np.argsort(-scores, kind='mergesort')[: MAX_DETS[-1]]
    shared = intersections[best].astype(np.float64)
    pixels = areas[best].astype(np.float64)[:, None]
    union = np.where(gt_iscrowd[None], pixels, pixels + gt_pixels[None] - shared)
    ious = np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)
    return OverlapTable(
        scores[best].astype(np.float64),
        areas[best],
        np.asarray(gt_areas, dtype=np.float64),
        np.asarray(gt_iscrowd, dtype=bool),
        ious,
    )


class TableCOCOeval(COCOeval):
    """COCOeval whose overlaps are known beforehand; one category, masks.

    Predictions that overlap nothing enough to match at the lowest threshold do not go
    through pycocotools' loops, which take the most time by far.

    Args:
        tables: One table for each image, in the order of their image ids:
            pycocotools sorts equal scores by image.
    """

    def __init__(self, tables: Sequence[OverlapTable]) -> None:
        super().__init__(iouType='segm')
        self.tables = tables
        self.params.imgIds = list(range(len(tables)))
        self.params.catIds = [1]
        self.params.maxDets = list(MAX_DETS)
        lowest = self.params.iouThrs.min()
        # where there is no ground truth the loops are over nothing
        self.may_match = [
            (table.ious >= lowest).any(axis=1) | (not len(table.gt_areas)) for table in tables
        ]

    def _prepare(self) -> None:
        for image_id, table in enumerate(self.tables):
            self._gts[image_id, 1] = [
                {'id': g + 1, 'area': area, 'iscrowd': int(crowd), 'ignore': int(crowd)}
                for g, (area, crowd) in enumerate(zip(table.gt_areas, table.gt_iscrowd))
            ]
            self._dts[image_id, 1] = [
                {'id': d + 1, 'area': area, 'score': score}
                for d, (area, score) in enumerate(zip(table.areas, table.scores))
                if self.may_match[image_id][d]
            ]

    def computeIoU(self, imgId: int, catId: int) -> Union[np.ndarray, list]:  # noqa: N802
        """Look the overlaps of one image up; pycocotools has a list where there are none."""
        ious = self.tables[imgId].ious[self.may_match[imgId]]
        return ious if ious.size else []

    def evaluateImg(  # noqa: N802
        self, imgId: int, catId: int, aRng: Sequence[float], maxDet: int
    ) -> Optional[dict[str, Any]]:
        """Match one image, and put the predictions that match nothing back among the others."""
        found = super().evaluateImg(imgId, catId, aRng, maxDet)
        table, able = self.tables[imgId], self.may_match[imgId]
        if found is None or able.all():
            return found
        matches = np.zeros((len(self.params.iouThrs), len(able)))
        matches[:, able] = found['dtMatches']
        # as pycocotools ignores what matches nothing and is of another size
        ignored = np.tile((table.areas < aRng[0]) | (table.areas > aRng[1]), (len(matches), 1))
        ignored[:, able] = found['dtIgnore']
        ids = list(range(1, len(able) + 1))
        scores = table.scores.tolist()
        return {
            **found, 'dtIds': ids, 'dtMatches': matches, 'dtScores': scores, 'dtIgnore': ignored
        }  # fmt: skip


def summarize_tables(tables: Sequence[OverlapTable]) -> np.ndarray:
    """Compute the twelve COCO metrics.

    Args:
        tables: One for each image, in the order of their image ids.

    Returns:
        float64 ``(12,)`` in 0..1, NaN where no ground truth is of that size: AP,
        AP50, AP75, AP of small, medium, large; AR at 1, 10, 100 predictions, AR of
        small, medium, large.
    """
    evaluation = TableCOCOeval(tables)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    stats = np.asarray(evaluation.stats, dtype=np.float64)
    return np.where(stats < 0, np.nan, stats)
