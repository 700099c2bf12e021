"""Predictors without a network, to tell what a metric is worth."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.registry import DATASETS, METRICS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.structures import InstanceData, PixelData

from mmentity.datasets.transforms import LoadEntityImage
from mmentity.evaluation.entity_metric import EntityMetric
from mmentity.structures import EntityMap


def whole_image(img: np.ndarray) -> EntityMap:
    """Predict the whole image ``(H, W, 3)`` as one entity."""
    return EntityMap(np.ones(img.shape[:2], dtype=np.int32))


def colour_clusters(img: np.ndarray, num_colours: int = 8, min_area: int = 64) -> EntityMap:
    """Predict the connected regions of the main colours of an image.

    Args:
        img: uint8 ``(H, W, 3)``.
        num_colours: Colours of the k-means.
        min_area: Smaller regions are removed, px.
    """
    smooth = cv2.medianBlur(np.ascontiguousarray(img), 9)
    colours = cv2.cvtColor(smooth, cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    labels = np.empty((len(colours), 1), np.int32)
    cv2.kmeans(colours, num_colours, labels, criteria, 1, cv2.KMEANS_PP_CENTERS)
    cluster = labels.reshape(img.shape[:2])
    ids = np.zeros(img.shape[:2], dtype=np.int32)
    for k in range(num_colours):
        _, regions = cv2.connectedComponents((cluster == k).astype(np.uint8))
        ids[regions > 0] = regions[regions > 0] + ids.max()
    entities = EntityMap(ids)
    return entities.select(entities.areas >= min_area)


Predictor = Callable[[np.ndarray], EntityMap]
BASELINES: dict[str, Predictor] = {'whole-image': whole_image, 'colour-clusters': colour_clusters}


def score_without_network(config: Config, name: str, task: str) -> dict[str, float]:
    """Score a predictor without a network on the validation set of a config.

    Args:
        config: Config of a training; only its data and its evaluator are used.
        name: Key of ``BASELINES``, for entities.
        task: ``'entity'``; for ``'instance'``, ``'semantic'`` and ``'panoptic'`` the
            largest class of the training set is predicted everywhere.

    Returns:
        The metrics of the task.
    """
    register_all_modules(init_default_scope=True)
    data, train_data = config.val_dataloader.dataset, config.train_dataloader.dataset
    for dataset in (data, train_data):
        dataset.test_mode = True
    if task == 'entity':
        return score_baseline(DATASETS.build(data), BASELINES[name])
    files = {key: train_data[key] for key in ('ann_file', 'data_prefix')}
    train_set = DATASETS.build({**data, **files})
    return score_majority(
        train_set, DATASETS.build(data), METRICS.build(config.val_evaluator), task
    )


def score_baseline(dataset: BaseDataset, predict: Predictor) -> dict[str, float]:
    """Score a predictor of entities on a dataset; larger entities count as surer.

    Args:
        dataset: Dataset in test mode whose samples carry the ground truth.
        predict: From a uint8 BGR image to an :class:`EntityMap`.

    Returns:
        The metrics of :class:`EntityMetric`, in percent.
    """
    metric = EntityMetric()
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        entities = predict(LoadEntityImage()({'img_path': sample.img_path})['img'])
        sample.pred_entity_map = PixelData(ids=torch.from_numpy(entities.ids))
        scores = entities.areas / (entities.height * entities.width)
        sample.pred_instances = InstanceData(scores=torch.from_numpy(scores))
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(dataset))


def score_majority(
    train_set: BaseDataset, val_set: BaseDataset, metric: BaseMetric, task: str
) -> dict[str, float]:
    """Score the prediction of the largest class of the training set, everywhere.

    Args:
        train_set: Dataset whose samples carry the ground truth; the class of most
            pixels is taken from it.
        val_set: Dataset to score on, likewise.
        metric: Metric of the task.
        task: ``'instance'``, ``'semantic'`` or ``'panoptic'``.

    Returns:
        The metrics.
    """
    areas = np.zeros(len(train_set.metainfo['classes']))
    for index in range(len(train_set)):
        instances = train_set[index]['data_samples'].gt_instances
        np.add.at(areas, instances.labels.numpy(), instances.areas.numpy())
    label = int(areas.argmax())
    metric.dataset_meta = val_set.metainfo
    for index in range(len(val_set)):
        sample = val_set[index]['data_samples']
        height, width = sample.ori_shape
        everywhere = torch.ones((1, height, width), dtype=torch.int32)
        if task == 'semantic':
            sample.pred_sem_seg = PixelData(data=everywhere * label)
        elif task == 'panoptic':
            is_thing = label < len(val_set.metainfo['thing_classes'])
            value = label + INSTANCE_OFFSET * is_thing
            sample.pred_panoptic_seg = PixelData(sem_seg=everywhere * value)
        else:
            sample.pred_instances = InstanceData(
                scores=torch.ones(1),
                labels=torch.tensor([label]),
                bboxes=torch.tensor([[0.0, 0.0, width, height]]),
                masks=everywhere.bool(),
            )
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(val_set))
