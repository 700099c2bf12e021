"""The entities to draw of a sample of any task."""

from typing import NamedTuple, Optional

import numpy as np
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.structures import DetDataSample

from mmentity.structures import EntityMap, RleMasks
from mmentity.utils.arrays import to_numpy


class Drawable(NamedTuple):
    """Entities of one image with their labels and scores.

    Attributes:
        entities: K entities.
        labels: Class of each, int ``(K,)``.
        scores: Score of each, ``(K,)``, or None.
        by_class: Whether an entity is all of its class, so that the class
            gives the colour.
    """

    entities: EntityMap
    labels: np.ndarray
    scores: Optional[np.ndarray]
    by_class: bool


def ground_truth_of(sample: DetDataSample) -> Optional[Drawable]:
    """Ground truth that :class:`PackEntityInputs` put into a sample, or None."""
    if 'gt_entity_map' not in sample:
        return None
    # without labels the entities are counted from the map
    labels = sample.gt_instances.get('labels', None) if 'gt_instances' in sample else None
    num_entities = None if labels is None else len(labels)
    entities = EntityMap(to_numpy(sample.gt_entity_map.ids), num_entities)
    labels = np.zeros(entities.num_entities, int) if labels is None else to_numpy(labels)
    return Drawable(entities, labels, None, 'gt_sem_seg' in sample)


def prediction_of(sample: DetDataSample, score_thr: float, num_classes: int) -> Optional[Drawable]:
    """Prediction in a sample, or None.

    Args:
        sample: Predicted sample.
        score_thr: Scored entities below this are dropped, 0..1.
        num_classes: Classes of the model; the value of a panoptic map where
            nothing is.
    """
    if 'pred_entity_map' in sample or 'pred_instances' in sample:
        return _scored(sample, score_thr)
    if 'pred_panoptic_seg' in sample:
        values = to_numpy(sample.pred_panoptic_seg.sem_seg)[0]
        found = np.setdiff1d(values, [num_classes])
        entities = EntityMap.from_segment_ids(values, found.tolist())
        return Drawable(entities, found % INSTANCE_OFFSET, None, False)
    if 'pred_sem_seg' in sample:
        values = to_numpy(sample.pred_sem_seg.data)[0]
        found = np.unique(values)
        return Drawable(EntityMap.from_segment_ids(values, found.tolist()), found, None, True)
    return None


def _scored(sample: DetDataSample, score_thr: float) -> Drawable:
    instances = sample.pred_instances
    scores = to_numpy(instances.scores)
    if 'pred_entity_map' in sample:
        entities = EntityMap(to_numpy(sample.pred_entity_map.ids), len(scores))
    elif isinstance(instances.masks, (list, RleMasks)):
        height, width = sample.ori_shape[:2]
        entities = EntityMap.from_segmentations(instances.masks, height, width)
    else:
        entities = EntityMap.from_masks(to_numpy(instances.masks))
    labels = to_numpy(instances.labels) if 'labels' in instances else np.zeros(len(scores), int)
    keep = (scores >= score_thr) & (entities.areas > 0)
    return Drawable(entities.select(keep), labels[keep], scores[keep], False)
