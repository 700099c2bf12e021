"""From the logits of a head to the result of each image."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Optional, TypedDict, Union

import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.models.seg_heads.panoptic_fusion_heads.base_panoptic_fusion_head import (
    BasePanopticFusionHead,
)
from mmdet.structures import SampleList
from mmdet.utils import OptConfigType, OptMultiConfig
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from mmentity.models.fusion.entities import fuse_entities, look_up
from mmentity.models.fusion.geometry import KEPT, ViewGeometry
from mmentity.models.fusion.instances import fuse_instances
from mmentity.models.fusion.panoptic import fuse_panoptic
from mmentity.models.fusion.semantic import fuse_semantic
from mmentity.models.fusion.ways import WAYS, in_float32, is_dense
from mmentity.models.memory import memory_budget
from mmentity.models.transfers import move
from mmentity.registry import MODELS
from mmentity.structures import EntityMap, RleMasks

TASKS = ('entity', 'instance', 'semantic', 'panoptic')
MASK_SCORES = ('official', 'probability')
MASK_FORMATS = (None, 'bool', 'rle')


class FusionResult(TypedDict, total=False):
    """Results of one image, by the names that a data sample carries them under.

    Attributes:
        pred_entity_map: ``ids`` int32 ``(1, H0, W0)``, k is row k-1 of ``pred_instances``.
        pred_instances: Entities, or instances where no entities are asked for.
        pred_overlap_instances: Instances where entities are asked for too.
        pred_sem_seg: ``data`` int32 ``(1, H0, W0)``.
        pred_panoptic_seg: ``sem_seg`` int32 ``(1, H0, W0)``, class + 1000 x number of the
            thing, the number of classes where nothing is, as in mmdet.
    """

    pred_entity_map: PixelData
    pred_instances: InstanceData
    pred_overlap_instances: InstanceData
    pred_sem_seg: PixelData
    pred_panoptic_seg: PixelData


@MODELS.register_module()
class EntityFusionHead(BasePanopticFusionHead):
    """Turn class and mask logits into entities, or into the result of another task.

    ``test_cfg`` knows:

    - ``entity_on``, ``instance_on``, ``semantic_on``, ``panoptic_on`` (bool): The
      results to make. ``entity_on`` defaults to True, unless another is set in a model
      of several classes.
      With both ``entity_on`` and ``instance_on`` the masks before overlaps are
      resolved come as ``pred_overlap_instances`` beside the entities: what AP
      scores.
    - ``max_per_image`` (int): Entities: the queries of the highest class scores
      that take part, by default all. Instances: the pairs of query and class
      of the highest scores, by default 100.
    - ``mask_score`` (str): Entities: the final score is the class score times the
      mean, over the final pixels of an entity, of the sigmoid of its fused
      probability (``'official'``, the default: the released code applies the
      sigmoid twice, and thresholds of 0.3 to 0.6 in the wild are tuned to that)
      or of the probability itself (``'probability'``).
    - ``mask_thr`` (float): Entities: fused probability above which a pixel can
      belong to a query, 0.5 to 1. Defaults to 0.5.
    - ``masks`` (str, optional): Whether ``pred_instances`` carries ``masks`` too:
      ``'bool'`` ``(N, H0, W0)``, which costs N times the entity map, or
      ``'rle'``, :class:`RleMasks`, which mmdet's tools take too. Defaults to None for
      entities, and to ``'rle'`` for instances, which always have masks.
    - ``object_mask_thr`` (float): Panoptic: queries at or below this class score
      take no part, 0..1. Defaults to 0.8.
    - ``iou_thr`` (float): Panoptic: a query is dropped if it keeps less than this
      share of its mask, 0..1. Defaults to 0.8.
    - ``fusion`` (str): ``'blocks'`` works through the image block by block, ``'dense'``
      computes every mask at every pixel; both give the same result. By default
      (``'auto'``) small images are dense, and on a GPU those whose masks in float32 take at
      most a quarter of its free memory.
    - ``max_memory_mb`` (float): Memory to aim at, above weights, inputs and
      results, MiB: fewer views go through the model at a time, and the image
      is worked through in smaller parts. It costs time and never changes the
      result; one view at a time is the least. By default a GPU takes all views
      at a time and a CPU one.

    Args:
        num_things_classes: Thing classes of the head; 1 for entities.
        num_stuff_classes: Stuff classes; 0 for entities.
        test_cfg: As above.
        loss_panoptic: None; here for configs of mmdet.
        init_cfg: Unused, as in mmdet.

    Raises:
        ValueError: If ``mask_score``, ``masks`` or ``fusion`` is not one of the above.
    """

    def __init__(
        self,
        num_things_classes: int = 1,
        num_stuff_classes: int = 0,
        test_cfg: OptConfigType = None,
        loss_panoptic: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
        **kwargs: Any,
    ) -> None:
        test_cfg = test_cfg or {}
        super().__init__(
            num_things_classes, num_stuff_classes, test_cfg, loss_panoptic, init_cfg, **kwargs
        )
        self.mask_score = _choice(test_cfg, 'mask_score', MASK_SCORES)
        self.mask_format = _choice(test_cfg, 'masks', MASK_FORMATS)
        self.way = _choice(test_cfg, 'fusion', WAYS)
        self.mask_thr = test_cfg.get('mask_thr', 0.5)
        self.max_per_image = test_cfg.get('max_per_image')
        self.tasks = _tasks_of(test_cfg, self.num_classes)
        # the average over the views takes as much again
        budget = memory_budget(test_cfg)
        self._block_values = None if budget is None else max(1, budget // 8)

    def loss(self, **kwargs: Any) -> dict[str, Tensor]:
        """Return no loss: nothing here is trained."""
        return {}

    def predict(
        self, mask_cls_results: Tensor, mask_pred_results: Tensor, batch_data_samples: SampleList
    ) -> list[FusionResult]:
        """Make the results of every image of a batch, in float32 under mixed precision too.

        Args:
            mask_cls_results: Class logits ``(B, Q, classes + 1)``.
            mask_pred_results: Mask logits at stride 4, ``(B, Q, V, h, w)``.
            batch_data_samples: B samples with ``ori_shape``, ``view_boxes``,
                ``view_shapes`` and ``batch_input_shape``.

        Raises:
            ValueError: If the masks do not have the views of the samples.
        """
        return [
            self.fuse(
                cls_logits.float().softmax(dim=-1),
                mask_logits.float(),
                geometry_of(mask_logits, sample.metainfo),
            )
            for cls_logits, mask_logits, sample in zip(
                mask_cls_results, mask_pred_results, batch_data_samples
            )
        ]

    @torch.no_grad()
    def fuse(
        self, class_probs: Tensor, mask_logits: Tensor, geometry: ViewGeometry
    ) -> FusionResult:
        """Make the results of one image, in float32 under mixed precision too.

        Nothing here has a gradient.

        Args:
            class_probs: ``(Q, classes + 1)``.
            mask_logits: float32 ``(Q, V, h, w)``.
            geometry: Where the views lie in the image.
        """
        with in_float32(mask_logits.device):
            return self._fuse(class_probs, mask_logits, geometry)

    def _fuse(self, *arguments: Any) -> FusionResult:
        result = FusionResult()
        if 'entity' in self.tasks:
            result.update(self._entities(*arguments))
        if 'instance' in self.tasks:
            instances = self._instances(*arguments)
            if 'entity' in self.tasks:
                result['pred_overlap_instances'] = instances
            else:
                result['pred_instances'] = instances
        if 'semantic' in self.tasks:
            result['pred_sem_seg'] = self._semantic(*arguments)
        if 'panoptic' in self.tasks:
            result['pred_panoptic_seg'] = self._panoptic(*arguments)
        return result

    def _entities(
        self, class_probs: Tensor, mask_logits: Tensor, geometry: ViewGeometry
    ) -> FusionResult:
        class_scores, labels = class_probs[:, :-1].max(dim=-1)
        class_scores, query_inds = class_scores.sort(descending=True, stable=True)
        keep = slice(self.max_per_image)
        class_scores, query_inds = class_scores[keep], query_inds[keep]
        fused = fuse_entities(
            mask_logits[query_inds],
            geometry,
            mask_thr=self.mask_thr,
            sigmoid_twice=self.mask_score == 'official',
            block_values=self._block_values,
            dense=self._is_dense(len(query_inds), geometry),
        )
        mask_scores = (fused.prob_sums / (fused.areas + 1e-6)).float()
        scores, order = (class_scores * mask_scores).sort(descending=True, stable=True)
        ids = _number_by_score(fused.owners, order)
        instances = InstanceData(
            scores=scores,
            labels=labels[query_inds[order]],
            bboxes=fused.boxes_xyxy_px[order].float(),
            areas=fused.areas[order],
            query_inds=query_inds[order],
        )
        if self.mask_format is not None:
            instances.masks = _masks_of(ids, len(scores), self.mask_format)
        return FusionResult(pred_entity_map=PixelData(ids=ids[None]), pred_instances=instances)

    def _instances(
        self, class_probs: Tensor, mask_logits: Tensor, geometry: ViewGeometry
    ) -> InstanceData:
        scores = class_probs[:, :-1].flatten()
        scores, pairs = scores.topk(min(self.max_per_image or 100, len(scores)))
        labels = pairs % self.num_classes
        if self.num_stuff_classes:
            things = torch.nonzero(labels < self.num_things_classes).flatten()
            scores, pairs, labels = scores[things], pairs[things], labels[things]
        # a query that stands for several classes has one mask
        queries, mask_of = (pairs // self.num_classes).unique(return_inverse=True)
        masks = fuse_instances(mask_logits[queries], geometry, self._block_values)
        mask_scores = (masks.prob_sums / (masks.areas + 1e-6)).float()
        scores, order = (scores * mask_scores[mask_of]).sort(descending=True, stable=True)
        mask_of = mask_of[order]
        rles = [masks.rles[k] for k in mask_of.tolist()]
        decodable = RleMasks(rles, geometry.height, geometry.width)
        instances = InstanceData(
            scores=scores,
            labels=labels[order],
            bboxes=masks.boxes_xyxy_px[mask_of].float(),
            areas=masks.areas[mask_of],
            query_inds=queries[mask_of],
        )
        as_bool = self.mask_format == 'bool'
        instances.masks = decodable.cpu().to(scores.device) if as_bool else decodable
        return instances

    def _semantic(
        self, class_probs: Tensor, mask_logits: Tensor, geometry: ViewGeometry
    ) -> PixelData:
        dense = self._is_dense(sum(class_probs.shape) - 1, geometry)
        classes = fuse_semantic(
            class_probs[:, :-1], mask_logits, geometry, self._block_values, dense
        )
        return PixelData(data=classes[None])

    def _panoptic(
        self, class_probs: Tensor, mask_logits: Tensor, geometry: ViewGeometry
    ) -> PixelData:
        scores, labels = class_probs.max(dim=-1)
        is_kept = (labels != self.num_classes) & (
            scores > self.test_cfg.get('object_mask_thr', 0.8)
        )
        # asked for once, and as numbers, which index without waiting for a device
        keep = torch.nonzero(is_kept).flatten()
        fused = fuse_panoptic(
            scores[keep],
            labels[keep].tolist(),
            mask_logits[keep],
            geometry,
            self.num_things_classes,
            self.test_cfg.get('iou_thr', 0.8),
            self._block_values,
            self._is_dense(2 * len(keep), geometry),
        )
        values, things = [self.num_classes], 0
        for label in fused.labels:
            is_thing = label < self.num_things_classes
            things += is_thing
            values.append(label + INSTANCE_OFFSET * things * is_thing)
        table = move(torch.tensor(values, dtype=torch.int32), fused.segments.device)
        return PixelData(sem_seg=look_up(fused.segments, table)[None])

    def _is_dense(self, num_masks: int, geometry: ViewGeometry) -> bool:
        return is_dense(self.way, num_masks, geometry, self._block_values)


def _tasks_of(cfg: dict, num_classes: int) -> list[str]:
    """Tasks whose results are asked for, in the order of ``TASKS``.

    A model of one class is one of entities, whatever a config of mmdet that it began as
    asks for besides.
    """
    others = [task for task in TASKS[1:] if cfg.get(f'{task}_on', False)]
    return ['entity'] * cfg.get('entity_on', not others or num_classes == 1) + others


def geometry_of(mask_logits: Tensor, meta: dict) -> ViewGeometry:
    """Read where the views of an image lie from the metainfo of its sample.

    Raises:
        ValueError: If the masks ``(Q, V, h, w)`` do not have the views of the sample.
    """
    geometry = _kept_geometry(
        tuple(mask_logits.shape[-2:]),
        tuple(tuple(map(int, box)) for box in meta['view_boxes']),
        tuple(tuple(map(int, shape)) for shape in meta['view_shapes']),
        tuple(map(int, meta['batch_input_shape'])),
        tuple(map(int, meta['ori_shape'][:2])),
        mask_logits.device,
    )
    if geometry.num_views != mask_logits.shape[1]:
        raise ValueError(
            f'the model gives masks on {mask_logits.shape[1]} views, the sample has '
            f'{geometry.num_views}; train and test with the same pipeline'
        )
    return geometry


@lru_cache(maxsize=KEPT)
def _kept_geometry(*arguments: Any) -> ViewGeometry:
    """Geometry of images of the same sizes, whose tables are made once."""
    return ViewGeometry(*arguments)


def _choice(cfg: dict, key: str, allowed: Sequence[Optional[str]]) -> Optional[str]:
    value = cfg.get(key, allowed[0])
    if value not in allowed:
        raise ValueError(f'test_cfg.{key} is {value!r}; it must be one of {allowed}')
    return value


def _number_by_score(owners: Tensor, order: Tensor) -> Tensor:
    """Number a map of entities for good: k is the k-th of ``order``.

    What comes after carries a permutation or selection of these numbers.

    Args:
        owners: int32 ``(H, W)``, 1..Q by class score; changed in place.
        order: Queries in descending final score, int64 ``(Q,)``.
    """
    table = torch.zeros(len(order) + 1, dtype=torch.int32, device=owners.device)
    table[order + 1] = torch.arange(1, len(order) + 1, dtype=torch.int32, device=owners.device)
    return look_up(owners, table)


def _masks_of(ids: Tensor, num_entities: int, mask_format: str) -> Union[Tensor, RleMasks]:
    if mask_format == 'rle':
        return RleMasks(EntityMap(ids.cpu().numpy(), num_entities).rles(), *ids.shape)
    numbers = torch.arange(1, num_entities + 1, device=ids.device)
    return ids[None] == numbers.view(-1, 1, 1)
