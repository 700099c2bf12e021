"""From the logits of a head to one entity map for each picture."""

from typing import Optional

import torch
from mmdet.models.seg_heads.panoptic_fusion_heads.base_panoptic_fusion_head import (
    BasePanopticFusionHead,
)
from mmdet.structures import SampleList
from mmdet.utils import OptConfigType, OptMultiConfig
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from mmentity.models.view_fusion import fuse_views
from mmentity.registry import MODELS
from mmentity.structures import EntityMap

MASK_SCORES = ('official', 'probability')
MASK_FORMATS = (None, 'bool', 'rle')


@MODELS.register_module()
class EntityFusionHead(BasePanopticFusionHead):
    """Turn class and mask logits into disjoint, scored entities.

    ``test_cfg`` knows:

    - ``max_per_image`` (int): The queries of the highest class scores that are
      looked at. Defaults to all.
    - ``mask_score`` (str): The final score is the class score times the mean,
      over the final pixels of an entity, of the sigmoid of its fused probability
      (``'official'``, the default: the released code applies the sigmoid twice,
      and thresholds of 0.3 to 0.6 in the wild are tuned to that) or of the
      probability itself (``'probability'``).
    - ``mask_thr`` (float): Fused probability above which a pixel can belong to a
      query, 0.5 to 1. Defaults to 0.5.
    - ``masks`` (str, optional): Whether ``pred_instances`` carries ``masks`` too:
      ``'bool'`` ``(N, H0, W0)``, which costs N times the entity map, or
      ``'rle'``, COCO RLE. Defaults to None.

    Args:
        num_things_classes: Classes of the head; 1 for entities.
        num_stuff_classes: Stuff classes; 0 for entities.
        test_cfg: As above.
        init_cfg: Unused, as in mmdet.

    Raises:
        ValueError: If ``mask_score`` or ``masks`` is not one of the above.
    """

    def __init__(
        self,
        num_things_classes: int = 1,
        num_stuff_classes: int = 0,
        test_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
        **kwargs,
    ) -> None:
        test_cfg = test_cfg or {}
        super().__init__(num_things_classes, num_stuff_classes, test_cfg, None, init_cfg, **kwargs)
        self.mask_score = _choice(test_cfg, 'mask_score', MASK_SCORES)
        self.mask_format = _choice(test_cfg, 'masks', MASK_FORMATS)
        self.mask_thr = test_cfg.get('mask_thr', 0.5)
        self.max_per_image = test_cfg.get('max_per_image')

    def loss(self, **kwargs) -> dict:
        """Return no loss: nothing here is learnt."""
        return {}

    def predict(
        self, mask_cls_results: Tensor, mask_pred_results: Tensor, batch_data_samples: SampleList
    ) -> list:
        """Fuse every picture of a batch.

        Args:
            mask_cls_results: Class logits ``(B, Q, classes + 1)``.
            mask_pred_results: Mask logits at stride 4, ``(B, Q, V, h, w)``.
            batch_data_samples: B samples with ``ori_shape``, ``view_boxes``,
                ``view_shapes`` and ``batch_input_shape``.

        Returns:
            For each picture a dict of ``pred_entity_map`` and ``pred_instances``.
        """
        return [
            self._predict_single(cls_logits, mask_logits, sample.metainfo)
            for cls_logits, mask_logits, sample in zip(
                mask_cls_results, mask_pred_results, batch_data_samples
            )
        ]

    def _predict_single(self, cls_logits: Tensor, mask_logits: Tensor, meta: dict) -> dict:
        class_scores, labels = cls_logits.float().softmax(dim=-1)[:, :-1].max(dim=-1)
        class_scores, query_inds = class_scores.sort(descending=True, stable=True)
        keep = slice(self.max_per_image)
        class_scores, query_inds = class_scores[keep], query_inds[keep]
        fused = fuse_views(
            mask_logits[query_inds],
            meta['view_boxes'],
            meta['view_shapes'],
            meta['batch_input_shape'],
            meta['ori_shape'],
            mask_thr=self.mask_thr,
            sigmoid_twice=self.mask_score == 'official',
        )
        mask_scores = (fused.prob_sums / (fused.areas + 1e-6)).float()
        scores, order = (class_scores * mask_scores).sort(descending=True, stable=True)
        entity_map = _renumber(fused.owners, order)
        instances = InstanceData(
            scores=scores,
            labels=labels[query_inds[order]],
            bboxes=fused.boxes_xyxy_px[order].float(),
            areas=fused.areas[order],
            query_inds=query_inds[order],
        )
        if self.mask_format is not None:
            instances.masks = _masks_of(entity_map, len(scores), self.mask_format)
        return {
            'pred_entity_map': PixelData(ids=entity_map[None]),
            'pred_instances': instances,
        }


def _choice(cfg: dict, key: str, allowed: tuple) -> Optional[str]:
    value = cfg.get(key, allowed[0])
    if value not in allowed:
        raise ValueError(f'test_cfg.{key} is {value!r}; it must be one of {allowed}')
    return value


def _renumber(owners: Tensor, order: Tensor) -> Tensor:
    """Renumber a map ``(H, W)`` of ranks 1..Q so that k is the k-th of ``order``."""
    table = torch.zeros(len(order) + 1, dtype=torch.int32, device=owners.device)
    table[order + 1] = torch.arange(1, len(order) + 1, dtype=torch.int32, device=owners.device)
    for strip in owners.split(256):
        strip.copy_(table[strip.long()])
    return owners


def _masks_of(entity_map: Tensor, num_entities: int, mask_format: str) -> object:
    if mask_format == 'rle':
        return EntityMap(entity_map.cpu().numpy(), num_entities).rles()
    numbers = torch.arange(1, num_entities + 1, device=entity_map.device)
    return entity_map[None] == numbers.view(-1, 1, 1)
