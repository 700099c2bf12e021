"""Masks and ground truth of samples, from the pipelines of this package or of mmdet."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
from pycocotools import mask as mask_utils

from mmentity.structures import EntityMap
from mmentity.structures.rle import Rle, Runs, paint_runs, pixels_of, runs_of
from mmentity.utils.arrays import to_numpy

# a sample as a dict, as evaluators get it
Sample = Mapping[str, Any]


class GroundTruth(NamedTuple):
    """Annotated entities of one image.

    Attributes:
        entities: K entities.
        labels: Class of each, int ``(K,)``.
        areas: Area of each as annotated, px, ``(K,)``.
        iscrowd: bool ``(K,)``.
    """

    entities: EntityMap
    labels: np.ndarray
    areas: np.ndarray
    iscrowd: np.ndarray


def find_ground_truth(sample: Sample) -> Optional[GroundTruth]:
    """Read the ground truth of a sample, or None.

    It is, in this order, the map that :class:`LoadEntityAnnotations` loads;
    ``instances``, the annotations of the dataset, where ``meta_keys`` of the packing step
    name them; or ``gt_instances.masks`` and ``ignored_instances.masks`` as mmdet's
    ``PackDetInputs`` packs them, whose areas are their pixels.

    Raises:
        ValueError: If it does not have the size of the image.
    """
    if 'gt_entity_map' in sample:
        return _of_map(sample)
    if 'instances' in sample and all('mask' in record for record in sample['instances']):
        return _of_instances(sample['instances'], _size_of(sample))
    if 'masks' in sample.get('gt_instances', ()):
        return _of_masks(sample)
    return None


def ground_truth_of(sample: Sample) -> GroundTruth:
    """Read the ground truth of a sample as :func:`find_ground_truth` does.

    Raises:
        ValueError: If there is none, or it does not have the size of the image.
    """
    found = find_ground_truth(sample)
    if found is None:
        raise ValueError(
            f'image {sample["img_id"]} has no ground truth to score against; put '
            'LoadEntityAnnotations after ResizeViews into the test pipeline (of mmdet: '
            'LoadAnnotations with masks after Resize), or set format_only'
        )
    return found


def _of_map(sample: Sample) -> GroundTruth:
    # mmdet's DumpDetResults drops gt_instances, so the map says the same
    records = sample.get('gt_instances', sample['gt_entity_map'])
    areas = to_numpy(records['areas'])
    entities = EntityMap(to_numpy(sample['gt_entity_map']['ids']), len(areas))
    labels = to_numpy(records['labels']) if 'labels' in records else np.zeros(len(areas), int)
    return GroundTruth(entities, labels, areas, to_numpy(records['iscrowd']))


def _of_instances(records: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> GroundTruth:
    entities = EntityMap.from_segmentations([record['mask'] for record in records], *size)
    areas = [record.get('area', pixels) for record, pixels in zip(records, entities.areas)]
    return GroundTruth(
        entities,
        np.array([record['bbox_label'] for record in records], dtype=np.int64),
        np.array(areas, dtype=np.float64),
        np.array([record.get('ignore_flag', 0) for record in records], dtype=bool),
    )


def _of_masks(sample: Sample) -> GroundTruth:
    kinds = [sample[key] for key in ('gt_instances', 'ignored_instances') if key in sample]
    masks = [_bitmaps(kind['masks']) for kind in kinds]
    size = _size_of(sample)
    if any(found.shape[1:] != size for found in masks if len(found)):
        raise ValueError(
            f'image {sample["img_id"]} is of {size[0]}x{size[1]} px, the masks of its ground '
            f'truth are of {masks[0].shape[1]}x{masks[0].shape[2]}; put LoadAnnotations after '
            'Resize into the test pipeline'
        )
    entities = EntityMap.from_masks(np.concatenate([m.reshape(-1, *size) for m in masks]))
    return GroundTruth(
        entities,
        np.concatenate([to_numpy(kind['labels']) for kind in kinds]),
        entities.areas.astype(np.float64),
        np.repeat([False, True][: len(masks)], [len(found) for found in masks]),
    )


def _bitmaps(masks: Any) -> np.ndarray:
    """Decode masks of a tensor or of one of mmdet's structures to ``(N, H, W)``."""
    return masks.to_ndarray() if hasattr(masks, 'to_ndarray') else to_numpy(masks)


def rles_of(masks: Any) -> list[Rle]:
    """Encode predicted masks: bool ``(N, H, W)``, RLE, or one of mmdet's structures."""
    if len(masks) and isinstance(masks[0], dict):
        return [Rle(size=rle['size'], counts=rle['counts']) for rle in masks]
    return [mask_utils.encode(np.asfortranarray(m, dtype=np.uint8)) for m in _bitmaps(masks)]


def entities_of(sample: Sample, resolve_overlaps: bool) -> Optional[EntityMap]:
    """Read the predicted entities of a sample, k the k-th of ``pred_instances``.

    Args:
        sample: Sample with ``pred_entity_map``, or with ``pred_instances.masks``.
        resolve_overlaps: Whether to give pixels of several masks to that of the highest
            score.

    Returns:
        Disjoint entities, or None if the masks overlap and shall stay so.

    Raises:
        ValueError: If there is neither a map nor masks.
    """
    instances = sample.get('pred_instances', {})
    if 'pred_entity_map' in sample:
        ids = to_numpy(sample['pred_entity_map']['ids'])
        return EntityMap(ids, len(instances['scores']))
    if 'masks' not in instances:
        raise ValueError(
            f'image {sample["img_id"]} has no pred_entity_map and no pred_instances.masks; '
            'EntityMetric scores models with an EntityFusionHead, and detectors with masks'
        )
    size = _size_of(sample)
    runs = [runs_of(rle, *size) for rle in rles_of(instances['masks'])]
    disjoint = paint_runs(runs, np.arange(1, len(runs) + 1), *size)
    if disjoint is not None:
        return EntityMap(disjoint, len(runs))
    if not resolve_overlaps:
        return None
    return EntityMap(_paint_by_score(runs, to_numpy(instances['scores']), size), len(runs))


def _paint_by_score(runs: Sequence[Runs], scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Paint masks so that each pixel has the highest score; of equal ones the first."""
    height, width = size
    ids = np.zeros(height * width, dtype=np.int32)
    for k in np.argsort(-scores, kind='stable')[::-1]:
        ids[pixels_of(runs[k])] = k + 1
    return ids.reshape(width, height).T


def _size_of(sample: Sample) -> tuple[int, int]:
    height, width = sample['ori_shape'][:2]
    return int(height), int(width)
