"""Overlaps of the predictions of one image with its ground truth, of masks and of boundaries."""

from dataclasses import replace

import numpy as np
from pycocotools import mask as mask_utils

from mmentity.evaluation.coco_tables import MAX_DETS, OverlapTable, overlap_table
from mmentity.evaluation.samples import GroundTruth
from mmentity.structures import EntityMap
from mmentity.structures.boundaries import BandMap, boundary_band, boundary_distance
from mmentity.structures.rle import Rle


def table_of_map(
    ground_truth: GroundTruth, predicted: EntityMap, scores: np.ndarray
) -> OverlapTable:
    """Overlaps with disjoint predictions, from one joint histogram."""
    joint = predicted.joint_histogram(ground_truth.entities)
    if predicted.is_disjoint and ground_truth.entities.is_disjoint:
        areas, gt_pixels = joint.sum(axis=1)[1:], joint.sum(axis=0)[1:]
    else:
        areas, gt_pixels = predicted.areas, ground_truth.entities.areas
    return overlap_table(
        scores, areas, joint[1:, 1:], gt_pixels, ground_truth.areas, ground_truth.iscrowd
    )


def boundary_tables_of_map(
    ground_truth: GroundTruth, predicted: EntityMap, scores: np.ndarray
) -> tuple[OverlapTable, OverlapTable]:
    """Overlaps with disjoint predictions, of masks and of boundaries, from one joint histogram.

    Returns:
        The table of :func:`table_of_map`, and that with :func:`boundary_overlaps`.
    """
    distance = boundary_distance(predicted.height, predicted.width)
    ours = BandMap.of(predicted, distance)
    theirs = BandMap.of(ground_truth.entities, distance)
    joint = ours.joint_histogram(theirs)
    if predicted.is_disjoint and ground_truth.entities.is_disjoint:
        pixels, gt_pixels = joint.sum(axis=(2, 3))[1:], joint.sum(axis=(0, 1))[1:]
    else:
        pixels, gt_pixels = ours.pixels, theirs.pixels
    annotated = ground_truth.areas, ground_truth.iscrowd
    table = overlap_table(
        scores,
        pixels.sum(axis=1),
        joint.sum(axis=(1, 3))[1:, 1:],
        gt_pixels.sum(axis=1),
        *annotated,
    )
    bands = overlap_table(scores, pixels[:, 1], joint[1:, 1, 1:, 1], gt_pixels[:, 1], *annotated)
    return table, boundary_overlaps(table, bands.ious)


def boundary_overlaps(table: OverlapTable, band_ious: np.ndarray) -> OverlapTable:
    """Put the lesser of mask IoU and Boundary IoU into a table, as Boundary AP does.

    A crowd has no boundary of its own; predictions are compared with its mask only.

    Args:
        table: Overlaps of masks, ``ious`` of shape ``(D, G)``.
        band_ious: Overlaps of boundary bands, float64 ``(D, G)``.
    """
    lesser = np.minimum(table.ious, band_ious)
    return replace(table, ious=np.where(table.gt_iscrowd[None], table.ious, lesser))


def table_of_rles(ground_truth: GroundTruth, rles: list[Rle], scores: np.ndarray) -> OverlapTable:
    """Overlaps with any predictions, mask by mask."""
    areas = mask_utils.area(rles).astype(np.int64) if rles else np.zeros(0, np.int64)
    best = _best(scores)
    ious = _ious([rles[i] for i in best], ground_truth.entities.rles(), ground_truth.iscrowd)
    return OverlapTable(scores[best], areas[best], ground_truth.areas, ground_truth.iscrowd, ious)


def boundary_tables_of_rles(
    ground_truth: GroundTruth, rles: list[Rle], scores: np.ndarray
) -> tuple[OverlapTable, OverlapTable]:
    """Overlaps with any predictions, of masks and of boundaries, mask by mask.

    Returns:
        The table of :func:`table_of_rles`, and that with :func:`boundary_overlaps`.
    """
    entities = ground_truth.entities
    distance = boundary_distance(entities.height, entities.width)
    table = table_of_rles(ground_truth, rles, scores)
    bands = [boundary_of_rle(rles[i], distance) for i in _best(scores)]
    gt_bands = [boundary_of_rle(rle, distance) for rle in entities.rles()]
    return table, boundary_overlaps(table, _ious(bands, gt_bands, ground_truth.iscrowd))


def boundary_of_rle(rle: Rle, distance: int) -> Rle:
    """Cut the boundary band out of a mask.

    Args:
        rle: Compressed COCO RLE.
        distance: Width of the band, px.
    """
    mask = mask_utils.decode(rle)
    x, y, width, height = mask_utils.toBbox(rle).astype(int).tolist()
    # around its box is none of the mask, as around the image
    part = mask[y : y + height, x : x + width]
    part &= boundary_band(part, distance)
    return mask_utils.encode(mask)


def _best(scores: np.ndarray) -> np.ndarray:
    """Rows of the predictions that count, the highest score first."""
    return np.argsort(-scores, kind='mergesort')[: MAX_DETS[-1]]


def _ious(rles: list[Rle], gt_rles: list[Rle], iscrowd: np.ndarray) -> np.ndarray:
    if not (rles and gt_rles):
        return np.zeros((len(rles), len(gt_rles)))
    return mask_utils.iou(rles, gt_rles, iscrowd.astype(np.uint8).tolist())
