"""Mask2Former's set loss: matching of queries to entities, and losses at sampled points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from mmcv.ops import point_sample
from mmdet.models.task_modules.assigners import HungarianAssigner
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmentity.models.heads.query_masks import QueryMasks, sample_masks
from mmentity.models.transfers import move, move_together, to_host_together

# query and entity of each pair, int64 ``(min(Q, K),)`` both, queries ascending
Match = tuple[Tensor, Tensor]

# masks whose points are drawn at a time on a CPU: three times as many are drawn as are kept
MASK_CHUNK = 16
# on a device as many as this memory holds, which are all of them in most batches
POINT_BYTES = 1 << 29


class MatchingPoints(NamedTuple):
    """What the matching of one image compares, the same in every layer of a pass.

    Attributes:
        features: Features at P random points of every view, ``(C, V * P)``.
        masks: Ground-truth masks at these points, 0..1, ``(K, V * P)``.
    """

    features: Tensor
    masks: Tensor


def targets_of_views(entities: Sequence[InstanceData]) -> list[list[InstanceData]]:
    """Entities that each view contains, with the masks ``(K', 1, H, W)`` of that view.

    Args:
        entities: For each image ``labels`` ``(K,)``, ``masks`` ``(K, V, H, W)`` and
            ``in_view`` bool ``(K, V)``.

    Returns:
        For each image those of its views.
    """
    seen = to_host_together([gt.in_view for gt in entities])
    numbers = [torch.nonzero(column).flatten() for in_view in seen for column in in_view.unbind(1)]
    on_device = iter(move_together(numbers, entities[0].labels.device))
    return [
        [
            InstanceData(labels=gt.labels[number], masks=gt.masks[:, view : view + 1][number])
            for view, number in zip(range(gt.masks.shape[1]), on_device)
        ]
        for gt in entities
    ]


@dataclass
class SetLoss:
    """Hungarian set loss with deep supervision (Mask2Former, sections 3.1 and 3.3).

    Points for the matching are drawn once for all layers of a pass, so features and
    ground-truth masks are sampled once. Masks are made of matched queries only, and their
    losses are divided by the number of ground-truth entities.

    Args:
        assigner: Hungarian assigner of mmdet, whose costs count.
        loss_cls: Classification loss.
        loss_mask: Cross-entropy of masks.
        loss_dice: Dice loss of masks.
        class_weight: Weight of each class and, last, of no object.
        num_points: Points P of each mask.
        oversample_ratio: As many times P points are drawn, of which the most uncertain stay.
        importance_sample_ratio: Share of the points that stay for being uncertain.

    Raises:
        ValueError: If the assigner has no costs of pairs.
    """

    assigner: HungarianAssigner
    loss_cls: Callable[..., Tensor]
    loss_mask: Callable[..., Tensor]
    loss_dice: Callable[..., Tensor]
    class_weight: Sequence[float]
    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75

    def __post_init__(self) -> None:
        if not hasattr(self.assigner, 'match_costs'):
            raise ValueError(
                f'train_cfg.assigner is {type(self.assigner).__name__}, which has no match_costs; '
                'it must be a HungarianAssigner, as in configs/_base_/models'
            )

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
            cls_scores = [scores.float() for scores in cls_scores]
            masks = [QueryMasks(layer.embeds.float(), features) for layer in masks]
            matches = self.match(cls_scores, [layer.embeds for layer in masks], targets, points)
            count = torch.full((1,), float(sum(len(gt.labels) for gt in targets)))
            count = reduce_mean(move(count, features[0].device)).clamp(min=1)
            for layer, arguments in enumerate(zip(cls_scores, masks, matches)):
                values = self._losses_of_layer(*arguments, targets, count)
                prefix = '' if layer == last else f'd{layer}.'
                losses.update({prefix + name: value for name, value in values.items()})
        return losses

    def _losses_of_layer(
        self,
        cls_scores: Tensor,
        masks: QueryMasks,
        matches: Sequence[Match],
        targets: Sequence[InstanceData],
        count: Tensor,
    ) -> dict[str, Tensor]:
        """Compute the losses of one layer; those of masks sum over entity and view."""
        no_object = cls_scores.shape[-1] - 1
        labels = cls_scores.new_full(cls_scores.shape[:2], no_object, dtype=torch.long)
        matched_logits, matched_masks = [], []
        for b, (gt, (query, entity)) in enumerate(zip(targets, matches)):
            labels[b, query] = gt.labels[entity]
            # each view is a mask of its own
            matched_logits.append(masks.logits_of(b, query).flatten(0, 1))
            matched_masks.append(gt.masks[entity].transpose(0, 1).flatten(0, 1))

        class_weight = move(torch.tensor(self.class_weight), cls_scores.device)
        loss_cls = self.loss_cls(
            cls_scores.flatten(0, 1), labels.flatten(), avg_factor=class_weight[labels].sum()
        )
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
        self,
        cls_scores: Sequence[Tensor],
        mask_embeds: Sequence[Tensor],
        targets: Sequence[InstanceData],
        points: Sequence[MatchingPoints],
    ) -> list[list[Match]]:
        """Assign the entities of each image to queries, in every layer of a pass.

        The host computes the assignments; it waits for the costs of all of them once.

        Args:
            cls_scores: Class logits of each layer, ``(B, Q, classes + 1)``.
            mask_embeds: Of each layer, ``(B, Q, C)``.
            targets: For each image ``labels`` ``(K,)``.
            points: Features and ground truth at the points to compare, for each image.

        Returns:
            For each layer the match of each image.
        """
        costs = [
            self._cost(scores[b], embeds[b], gt, points[b])
            for scores, embeds in zip(cls_scores, mask_embeds)
            for b, gt in enumerate(targets)
        ]
        assigned = [
            torch.from_numpy(numbers)
            for cost in to_host_together(costs)
            for numbers in linear_sum_assignment(cost.numpy())
        ]
        numbers = iter(move_together(assigned, costs[0].device))
        return [[(next(numbers), next(numbers)) for _ in targets] for _ in cls_scores]

    def _cost(
        self, cls_score: Tensor, mask_embed: Tensor, gt: InstanceData, points: MatchingPoints
    ) -> Tensor:
        """Cost of every pair of query and entity of one image, ``(Q, K)``."""
        predicted = InstanceData(scores=cls_score, masks=mask_embed @ points.features)
        true = InstanceData(labels=gt.labels, masks=points.masks)
        costs = [
            cost(pred_instances=predicted, gt_instances=true, img_meta={})
            for cost in self.assigner.match_costs
        ]
        return torch.stack(costs).sum(dim=0)

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
        chunk = self._masks_at_a_time(gt_masks)
        for logits, masks in zip(mask_logits.split(chunk), gt_masks.split(chunk)):
            points.append(self.uncertain_points(logits))
            targets.append(sample_masks(masks, points[-1]))
        return torch.cat(points), torch.cat(targets)

    def _masks_at_a_time(self, gt_masks: Tensor) -> int:
        if gt_masks.device.type == 'cpu':
            return MASK_CHUNK
        # places, logits and order of the points drawn; a mask with its border
        drawn = 32 * int(self.oversample_ratio * self.num_points)
        return max(MASK_CHUNK, POINT_BYTES // (drawn + gt_masks[0].numel()))

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
