"""The inputs and data samples of a model, made of the results of a pipeline."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from mmentity.datasets.transforms.alignment import check_size
from mmentity.registry import TRANSFORMS
from mmentity.structures import EntityMap
from mmentity.structures.entity_masks import EntityMasks


@TRANSFORMS.register_module()
class PackEntityInputs(BaseTransform):
    """Pack the views of an image and its ground truth.

    Where the views have entity maps, the sample carries the targets of training
    (``gt_view_maps`` and ``gt_instances.labels``, crowds left out). Where only
    the image has one (:class:`LoadEntityAnnotations` after
    :class:`ResizeViews`), it carries the ground truth for scoring: ``gt_entity_map``
    (``ids`` int32 ``(L, H0, W0)``) and ``gt_instances`` with ``labels``,
    ``areas`` px and ``iscrowd``, and for a semantic map ``gt_sem_seg`` (``data``
    uint8 ``(1, H0, W0)``), as mmseg's metrics read it.

    Args:
        meta_keys: Results that go into the metainfo of the sample.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = (
            'img_id',
            'img_path',
            'seg_map_path',
            'segments_info',
            'ori_shape',
            'view_boxes',
            'view_shapes',
            'flip',
            'flip_direction',
        ),
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one sample.

        Returns:
            ``inputs`` uint8 ``(V, 3, h, w)``, every view padded with 0 to the
            largest; ``data_samples``, whose ``view_shapes`` tell what is padding.

        Raises:
            ValueError: If the image has no views.
        """
        if 'view_imgs' not in results:
            raise ValueError(
                f'PackEntityInputs got {results.get("img_path", "an image")} without views; put '
                'mmentity.ResizeViews (and CropViews before it for CropFormer) into the '
                "pipeline, in place of mmdet's Resize"
            )
        sample = DetDataSample()
        meta = {key: results[key] for key in self.meta_keys if key in results}
        if meta.get('img_path', '') is None:
            # an array; DetInferencer then numbers the files that it writes
            del meta['img_path']
        for key in ('view_boxes', 'view_shapes'):
            meta[key] = np.asarray(meta[key]).tolist()
        # mmdet's visualisation hook and others look for the size of the input
        meta['img_shape'] = tuple(meta['view_shapes'][0])
        sample.set_metainfo(meta)
        if 'view_maps' in results:
            self._pack_targets(sample, results)
        elif results.get('gt_masks') is not None:
            self._pack_ground_truth(sample, results)
        return {'inputs': _stack_views(results['view_imgs']), 'data_samples': sample}

    @staticmethod
    def _pack_targets(sample: DetDataSample, results: dict[str, Any]) -> None:
        keep = ~results['gt_ignore_flags']
        for img, entities in zip(results['view_imgs'], results['view_maps']):
            # RandomCropViews pads images and not maps
            size = min(img.shape[0], entities.height), min(img.shape[1], entities.width)
            check_size(size, (entities.height, entities.width), 'in PackEntityInputs')
        labels = results['gt_bboxes_labels'][keep]
        sample.gt_instances = InstanceData(labels=torch.from_numpy(labels))
        sample.gt_view_maps = [_ids_of(entities.select(keep)) for entities in results['view_maps']]

    @staticmethod
    def _pack_ground_truth(sample: DetDataSample, results: dict[str, Any]) -> None:
        masks = EntityMasks.of(results['gt_masks'])
        check_size(results['ori_shape'], (masks.height, masks.width), 'in PackEntityInputs')
        records = {
            'labels': torch.from_numpy(results['gt_bboxes_labels']),
            'areas': torch.from_numpy(masks.annotated_areas),
            'iscrowd': torch.from_numpy(results['gt_ignore_flags']),
        }
        # mmdet's DumpDetResults drops gt_instances, and its pickle is scored offline
        sample.gt_entity_map = PixelData(metainfo=records, ids=_ids_of(masks.entities))
        sample.gt_instances = InstanceData(**records)
        if 'gt_seg_map' in results:
            sample.gt_sem_seg = PixelData(data=torch.from_numpy(results['gt_seg_map'])[None])


def _stack_views(imgs: Sequence[np.ndarray]) -> Tensor:
    height, width = (max(img.shape[axis] for img in imgs) for axis in (0, 1))
    stack = np.zeros((len(imgs), 3, height, width), dtype=np.uint8)
    for view, img in zip(stack, imgs):
        view[:, : img.shape[0], : img.shape[1]] = img.transpose(2, 0, 1)
    return torch.from_numpy(stack)


def _ids_of(entities: EntityMap) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(entities.ids))
