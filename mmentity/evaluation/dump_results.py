"""Predictions of a test, and what they are scored against, as one file."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import DumpResults
from torch import Tensor

from mmentity.evaluation.samples import (
    GroundTruth,
    Sample,
    entities_of,
    find_ground_truth,
    rles_of,
)
from mmentity.registry import METRICS
from mmentity.structures.rle import Rle

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'seg_map_path', 'segments_info')
INSTANCE_KEYS = ('scores', 'labels', 'bboxes')


@METRICS.register_module()
class DumpEntityResults(DumpResults):
    """Write the predictions of a test run, of any task, to a pickle file.

    Each image is a dict by the names of its data sample, so that mmdet's ``eval_metric``
    and ``mmentity analyze-results`` score it offline: ``img_id``, ``img_path``,
    ``ori_shape``; ``pred_instances`` with ``scores`` descending, ``labels``, ``bboxes``
    (xyxy px) and ``masks`` (COCO RLE; an entity map costs its runs, not its pixels),
    ``pred_overlap_instances`` likewise, ``pred_sem_seg`` (``data`` ``(1, H0, W0)`` of the
    smallest type that holds the classes) and ``pred_panoptic_seg`` (``sem_seg`` int32
    ``(1, H0, W0)``); and the ground truth: ``instances`` (``mask`` RLE, ``bbox``,
    ``bbox_label``, ``area``, ``ignore_flag``), ``gt_sem_seg``, or ``segments_info`` and
    ``seg_map_path``.

    Args:
        out_file_path: File to write; ends in ``.pkl``.
    """

    def process(self, data_batch: dict, data_samples: Sequence[Sample]) -> None:
        """Reduce one batch."""
        for sample in data_samples:
            row = {key: sample[key] for key in META_KEYS if key in sample}
            if 'pred_instances' in sample:
                row['pred_instances'] = _instances(sample, 'pred_instances')
                ground_truth = find_ground_truth(sample)
                if ground_truth is not None:
                    row['instances'] = _annotations(ground_truth)
            if 'pred_overlap_instances' in sample:
                row['pred_overlap_instances'] = _instances(sample, 'pred_overlap_instances')
            for key in ('pred_sem_seg', 'gt_sem_seg'):
                if key in sample:
                    row[key] = {'data': _smallest(sample[key]['data'])}
            if 'pred_panoptic_seg' in sample:
                segments = sample['pred_panoptic_seg']['sem_seg']
                row['pred_panoptic_seg'] = {'sem_seg': segments.to('cpu', torch.int32)}
            self.results.append(row)


def _instances(sample: Sample, key: str) -> dict[str, Any]:
    """Fields of instances, with masks as RLE where there are masks."""
    instances = sample[key]
    fields = {name: instances[name].cpu() for name in INSTANCE_KEYS if name in instances}
    if key == 'pred_instances' and 'pred_entity_map' in sample:
        entities = entities_of(sample, resolve_overlaps=False)
        fields['masks'] = entities.rles() if entities is not None else []
    elif 'masks' in instances:
        fields['masks'] = rles_of(instances['masks'])
    return fields


def _annotations(ground_truth: GroundTruth) -> list[dict[str, Any]]:
    """Ground truth in the form of the ``instances`` of mmdet's datasets."""
    columns = zip(
        ground_truth.entities.rles(),
        ground_truth.entities.boxes_xyxy_px.tolist(),
        ground_truth.labels.tolist(),
        ground_truth.areas.tolist(),
        ground_truth.iscrowd.tolist(),
    )
    return [
        _annotation(mask, bbox, label, area, crowd) for mask, bbox, label, area, crowd in columns
    ]


def _annotation(
    mask: Rle, bbox: list[int], label: int, area: float, is_crowd: bool
) -> dict[str, Any]:
    return {
        'mask': mask,
        'bbox': bbox,
        'bbox_label': label,
        'area': area,
        'ignore_flag': int(is_crowd),
    }


def _smallest(values: Tensor) -> Tensor:
    """Copy a map to the CPU in the smallest type that holds its values."""
    low, high = (int(v) for v in values.aminmax()) if values.numel() else (0, 0)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        bounds = torch.iinfo(dtype)
        if bounds.min <= low and high <= bounds.max:
            return values.to('cpu', dtype)
    return values.cpu()
