"""Mask2Former's set loss: matching of queries to entities, and losses at sampled points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from mmcv.ops import point_sample
from mmdet.models.task_modules.assigners import BaseAssigner
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mmentity.models.heads.query_masks import QueryMasks, sample_masks

# masks whose points are drawn at a time: three times as many are drawn as are kept
MASK_CHUNK = 16


class MatchingPoints(NamedTuple):
    """What the matching of one image compares, the same in every layer of a pass.

    Attributes:
        features: Features at P random points of every view, ``(C, V * P)``.
        masks: Ground-truth masks at these points, 0..1, ``(K, V * P)``.
    """

    features: Tensor
    masks: Tensor


def targets_in_view(gt_instances: InstanceData, view: int) -> InstanceData:
    """Entities that a view contains, with the masks ``(K', 1, H, W)`` of that view."""
    is_seen = gt_instances.in_view[:, view]
    return InstanceData(
        labels=gt_instances.labels[is_seen], masks=gt_instances.masks[is_seen][:, view : view + 1]
    )


@dataclass
class SetLoss:
    """Hungarian set loss with deep supervision (Mask2Former, sections 3.1 and 3.3).

    Points for the matching are drawn once for all layers of a pass, so features and
    ground-truth masks are sampled once. Masks are made of matched queries only, and their
    losses are divided by the number of ground-truth entities.

    Args:
        assigner: Hungarian assigner of mmdet.
        loss_cls: Classification loss.
        loss_mask: Cross-entropy of masks.
        loss_dice: Dice loss of masks.
        class_weight: Weight of each class and, last, of no object.
        num_points: Points P of each mask.
        oversample_ratio: As many times P points are drawn, of which the most uncertain stay.
        importance_sample_ratio: Share of the points that stay for being uncertain.
    """

    assigner: BaseAssigner
    loss_cls: Callable[..., Tensor]
    loss_mask: Callable[..., Tensor]
    loss_dice: Callable[..., Tensor]
    class_weight: Sequence[float]
    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75

    def __call__(
        self,
        cls_scores: Sequence[Tensor],
        masks: Sequence[QueryMasks],
        targets: Sequence[InstanceData],
    ) -> dict[str, Tensor]:
        """Compute matches and losses of every layer in float32, under mixed precision too.

        Args:
            cls_scores: Class logits of each layer, ``(B, Q, classes + 1)``.
            masks: Masks of each layer; all have the same features ``(B, V, C, h, w)``.
            targets: For each image ``labels`` ``(K,)`` and ``masks`` bool ``(K, V, H, W)``.

        Returns:
            ``loss_cls``, ``loss_mask`` and ``loss_dice`` of the last layer, and those of
            earlier ones with the prefix ``d{i}.``.
        """
        losses, last = {}, len(cls_scores) - 1
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            # one tensor for each image, so that the gradient of one is not as large as all
            features = [feature.float() for feature in masks[0].features]
            points = [self._matching_points(*pair) for pair in zip(features, targets)]
            for layer, (scores, layer_masks) in enumerate(zip(cls_scores, masks)):
                layer_masks = QueryMasks(layer_masks.embeds.float(), features)
                values = self._losses_of_layer(scores.float(), layer_masks, targets, points)
                prefix = '' if layer == last else f'd{layer}.'
                losses.update({prefix + name: value for name, value in values.items()})
        return losses

    def _losses_of_layer(
        self,
        cls_scores: Tensor,
        masks: QueryMasks,
        targets: Sequence[InstanceData],
        points: Sequence[MatchingPoints],
    ) -> dict[str, Tensor]:
        """Compute the losses of one layer; those of masks sum over entity and view."""
        no_object = cls_scores.shape[-1] - 1
        labels = cls_scores.new_full(cls_scores.shape[:2], no_object, dtype=torch.long)
        matched_logits, matched_masks = [], []
        for b, gt in enumerate(targets):
            query, entity = self.match(cls_scores[b], masks.embeds[b], gt.labels, points[b])
            labels[b, query] = gt.labels[entity]
            # each view is a mask of its own
            matched_logits.append(masks.logits_of(b, query).flatten(0, 1))
            matched_masks.append(gt.masks[entity].transpose(0, 1).flatten(0, 1))

        class_weight = cls_scores.new_tensor(self.class_weight)
        loss_cls = self.loss_cls(
            cls_scores.flatten(0, 1), labels.flatten(), avg_factor=class_weight[labels].sum()
        )
        count = cls_scores.new_tensor([sum(len(gt.labels) for gt in targets)])
        count = reduce_mean(count).clamp(min=1)
        mask_logits = torch.cat(matched_logits)[:, None]
        if len(mask_logits) == 0:
            zero = mask_logits.sum()
            return {'loss_cls': loss_cls, 'loss_mask': zero, 'loss_dice': zero}
        where, gt_masks = self._point_targets(mask_logits, torch.cat(matched_masks))
        logits = point_sample(mask_logits, where).squeeze(1)
        loss_dice = self.loss_dice(logits, gt_masks, avg_factor=count)
        loss_mask = self.loss_mask(
            logits.flatten(), gt_masks.flatten(), avg_factor=count * where.shape[1]
        )
        return {'loss_cls': loss_cls, 'loss_mask': loss_mask, 'loss_dice': loss_dice}

    @torch.no_grad()
    def _matching_points(self, features: Tensor, gt_instances: InstanceData) -> MatchingPoints:
        """Sample features ``(V, C, h, w)`` and masks ``(K, V, H, W)`` at the same random points."""
        points = self.random_points(features.device)
        sampled = point_sample(features, points.expand(len(features), -1, -1))
        masks = gt_instances.masks
        gt_masks = sample_masks(masks.flatten(0, 1), points).unflatten(0, masks.shape[:2])
        return MatchingPoints(sampled.transpose(0, 1).flatten(1), gt_masks.flatten(1))

    @torch.no_grad()
    def match(
        self, cls_score: Tensor, mask_embed: Tensor, gt_labels: Tensor, points: MatchingPoints
    ) -> tuple[Tensor, Tensor]:
        """Assign the entities of an image to queries.

        Args:
            cls_score: ``(Q, classes + 1)``.
            mask_embed: ``(Q, C)``.
            gt_labels: int64 ``(K,)``.
            points: Features and ground truth at the points to compare.

        Returns:
            Query and entity of each pair, int64 ``(min(Q, K),)`` both.
        """
        assigned = self.assigner.assign(
            pred_instances=InstanceData(scores=cls_score, masks=mask_embed @ points.features),
            gt_instances=InstanceData(labels=gt_labels, masks=points.masks),
            img_meta={},
        ).gt_inds
        query = torch.nonzero(assigned > 0).squeeze(1)
        return query, assigned[query] - 1

    @torch.no_grad()
    def _point_targets(self, mask_logits: Tensor, gt_masks: Tensor) -> tuple[Tensor, Tensor]:
        """Draw points for the losses of matched masks, and sample the ground truth there.

        Args:
            mask_logits: ``(N, 1, h, w)``.
            gt_masks: bool ``(N, H, W)``.

        Returns:
            Points ``(N, P, 2)`` as (x, y) in 0..1, and the ground truth ``(N, P)``.
        """
        points, targets = [], []
        for logits, masks in zip(mask_logits.split(MASK_CHUNK), gt_masks.split(MASK_CHUNK)):
            points.append(self.uncertain_points(logits))
            targets.append(sample_masks(masks, points[-1]))
        return torch.cat(points), torch.cat(targets)

    def random_points(self, device: torch.device) -> Tensor:
        """Draw the points of the matching cost, ``(1, P, 2)`` as (x, y) in 0..1."""
        return torch.rand((1, self.num_points, 2), device=device)

    def uncertain_points(self, mask_logits: Tensor) -> Tensor:
        """Draw the points of the mask losses, mostly where a mask is uncertain.

        Args:
            mask_logits: ``(N, 1, h, w)``.

        Returns:
            ``(N, P, 2)`` as (x, y) in 0..1.
        """
        return get_uncertain_point_coords_with_randomness(
            mask_logits, None, self.num_points, self.oversample_ratio, self.importance_sample_ratio
        )
