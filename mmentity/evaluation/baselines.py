"""Predictors without a network, to tell what a figure is worth."""

from collections.abc import Callable

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from mmentity.evaluation.entity_metric import EntityMetric
from mmentity.structures import EntityMap


def whole_image(img: np.ndarray) -> EntityMap:
    """Predict the whole picture ``(H, W, 3)`` as one entity."""
    return EntityMap(np.ones(img.shape[:2], dtype=np.int32))


def colour_clusters(img: np.ndarray, num_colours: int = 8, min_area: int = 64) -> EntityMap:
    """Predict the connected regions of the main colours of a picture.

    Args:
        img: uint8 ``(H, W, 3)``.
        num_colours: Colours of the k-means.
        min_area: Smaller regions are left out, px.
    """
    smooth = cv2.medianBlur(np.ascontiguousarray(img), 9)
    colours = cv2.cvtColor(smooth, cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, cluster, _ = cv2.kmeans(colours, num_colours, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    cluster = cluster.reshape(img.shape[:2])
    ids = np.zeros(img.shape[:2], dtype=np.int32)
    for k in range(num_colours):
        _, regions = cv2.connectedComponents((cluster == k).astype(np.uint8))
        ids[regions > 0] = regions[regions > 0] + ids.max()
    entities = EntityMap(ids)
    return entities.select(entities.areas >= min_area)


BASELINES = {'whole-image': whole_image, 'colour-clusters': colour_clusters}


def score_baseline(dataset: BaseDataset, predict: Callable) -> dict:
    """Score a predictor on a dataset; larger entities count as surer.

    Args:
        dataset: Dataset in test mode whose pipeline loads picture and truth.
        predict: From a uint8 BGR picture to an :class:`EntityMap`.

    Returns:
        The figures of :class:`EntityMetric`, in percent.
    """
    metric = EntityMetric()
    for index in range(len(dataset)):
        results = dataset[index]
        entities = predict(results['img'])
        sample = {
            'img_id': results['img_id'],
            'pred_entity_map': {'ids': entities.ids},
            'pred_instances': {'scores': entities.areas / results['img'][..., 0].size},
            'gt_entity_map': {'ids': results['gt_entity_map'].ids},
            'gt_instances': {'areas': results['gt_areas'], 'iscrowd': results['gt_iscrowd']},
        }
        metric.process({}, [sample])
    return metric.evaluate(len(dataset))
