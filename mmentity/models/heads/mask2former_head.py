"""Mask2Former's head with a view axis, and CropFormer's head of two passes."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from mmcv.ops import point_sample
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from mmdet.structures import SampleList
from mmdet.utils import ConfigType, reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmentity.models.heads.query_masks import QueryMasks, sample_masks
from mmentity.models.layers.attention import share_kernels
from mmentity.models.layers.checkpointing import checkpoint_layers
from mmentity.models.layers.positional_encoding import ViewSinePositionalEncoding
from mmentity.models.memory import over_views, views_at_a_time
from mmentity.registry import MODELS

# masks whose points are drawn at a time: three times as many are drawn as are kept
MASK_CHUNK = 16


class DecoderInput(NamedTuple):
    """What one pass of the decoder looks at.

    Attributes:
        tokens: Features of each level, coarsest first, ``(B, V * h_l * w_l, C)``.
        positions: Their positional encodings, ``(1, V * h_l * w_l, C)``.
        mask_features: ``(B, V, C, h, w)`` at stride 4.
        small_features: The same resized to each level, without a gradient, each
            ``(B, V, C, h_l, w_l)``.
    """

    tokens: list
    positions: list
    mask_features: Tensor
    small_features: list


class DecoderOutput(NamedTuple):
    """What one pass of the decoder gives.

    Attributes:
        cls_scores: Class logits of the predicted layers, each ``(B, Q, classes + 1)``.
        masks: Masks of the same layers, at stride 4.
        queries: Queries after the last layer, before the final norm, ``(B, Q, C)``.
    """

    cls_scores: list
    masks: list
    queries: Tensor


class MatchingPoints(NamedTuple):
    """What the matching of one picture looks at, the same in every layer of a pass.

    Attributes:
        features: Features at P random points of every view, ``(C, V * P)``.
        masks: True masks at these points, 0..1, ``(K, V * P)``.
    """

    features: Tensor
    masks: Tensor


@MODELS.register_module()
class EntityMask2FormerHead(Mask2FormerHead):
    """Mask2Former's head over pictures of one view.

    Takes the arguments of :class:`mmdet.models.Mask2FormerHead`. It differs in
    three points: masks carry a view axis, so that CropFormer can share the
    decoder; :meth:`predict` gives mask logits at stride 4 and leaves all
    resizing to the fusion head; and masks are normalised by the number of
    ground-truth entities.

    Args:
        in_channels: Channels of each feature map of the backbone.
        num_queries: Queries Q.
        positional_encoding: Config of the sine encoding of the decoder.
        with_cp: Whether the layers of both decoders are computed again for the
            gradient, which takes less memory and more time. The backbones of
            mmpretrain have an argument of this name too.

    Raises:
        ValueError: If ``num_queries`` is not positive.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *args,
        num_queries: int = 100,
        positional_encoding: Optional[dict] = None,
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        if num_queries < 1:
            raise ValueError(f'num_queries is {num_queries}; a head needs at least one query')
        positional_encoding = positional_encoding or {'num_feats': 128, 'normalize': True}
        super().__init__(
            in_channels,
            *args,
            num_queries=num_queries,
            positional_encoding=positional_encoding,
            **kwargs,
        )
        self.in_channels = list(in_channels)
        self.decoder_positional_encoding = ViewSinePositionalEncoding(**positional_encoding)
        for decoder in (self.pixel_decoder, self.transformer_decoder):
            share_kernels(decoder)
        if with_cp:
            checkpoint_layers(self.pixel_decoder.encoder.layers)
            checkpoint_layers(self.transformer_decoder.layers)

    def forward(self, x: tuple, batch_data_samples: SampleList) -> DecoderOutput:
        """Decode every picture by itself.

        Args:
            x: Feature maps of the backbone, finest first, each ``(B, C, h, w)``.
            batch_data_samples: B samples.

        Returns:
            One prediction before and one after each decoder layer.
        """
        decoder_input = self._decoder_input(*self._decode_pixels(x))
        return self._run_decoder(self._first_queries(len(x[0])), decoder_input, self._every_layer)

    def predict(self, x: tuple, batch_data_samples: SampleList) -> tuple:
        """Decode for testing.

        Returns:
            Class logits ``(B, Q, classes + 1)`` and mask logits at stride 4 of
            the padded input, ``(B, Q, V, h, w)``, of the last layer.
        """
        decoder_input = self._decoder_input(*self._decode_pixels(x))
        output = self._run_decoder(self._first_queries(len(x[0])), decoder_input, self._last_layer)
        return output.cls_scores[-1], output.masks[-1].logits()

    def loss(self, x: tuple, batch_data_samples: SampleList) -> dict:
        """Compute the set loss of every layer.

        Args:
            x: Feature maps of the backbone, each ``(B, C, h, w)``.
            batch_data_samples: B samples with ``gt_instances`` as made by
                :class:`MultiViewDataPreprocessor`.

        Returns:
            Losses by name, those of earlier layers with the prefix ``d{i}.``.
        """
        output = self(x, batch_data_samples)
        targets = [_targets_in_view(sample.gt_instances, 0) for sample in batch_data_samples]
        return self.loss_by_feat(output, targets)

    def _decode_pixels(self, x: tuple) -> tuple:
        """Run the pixel decoder, in float32 as its sampling positions need."""
        with torch.autocast(x[0].device.type, enabled=False):
            mask_features, *multi_scale = over_views(
                self._decode_some_pixels, x, self._views_at_a_time(x[0])
            )
        return mask_features, multi_scale

    def _decode_some_pixels(self, *features: Tensor) -> tuple:
        mask_features, multi_scale = self.pixel_decoder([f.float() for f in features])
        return (mask_features, *multi_scale)

    def _views_at_a_time(self, finest: Tensor) -> int:
        if torch.is_grad_enabled() or self.training:
            return len(finest)
        return views_at_a_time(finest, finest.shape[1], self.test_cfg)

    def _decoder_input(self, mask_features: Tensor, multi_scale: list) -> DecoderInput:
        """Arrange features of ``B * V`` views for a pass over every view by itself."""
        tokens, sizes = [], []
        levels = list(zip(multi_scale, self.decoder_input_projs, self.level_embed.weight))
        for feature, project, level_embed in levels[: self.num_transformer_feat_level]:
            feature = project(feature)
            tokens.append(feature.flatten(2).transpose(1, 2).contiguous() + level_embed)
            sizes.append(feature.shape[-2:])
        positions = [self._positions(1, *size, mask_features.device) for size in sizes]
        # resizing is linear, so attention masks come from features that are resized once
        small_features = [
            F.interpolate(mask_features.detach(), size, mode='bilinear', align_corners=False)
            for size in sizes
        ]
        return DecoderInput(
            tokens, positions, mask_features[:, None], [f[:, None] for f in small_features]
        )

    def _positions(self, num_views: int, height: int, width: int, device: torch.device) -> Tensor:
        mask = torch.zeros((1, height, width), dtype=torch.bool, device=device)
        return self.decoder_positional_encoding(mask).flatten(2).transpose(1, 2)

    def _first_queries(self, batch_size: int) -> Tensor:
        return self.query_feat.weight.expand(batch_size, -1, -1)

    @property
    def _every_layer(self) -> range:
        """Where deep supervision predicts: before and after every layer."""
        return range(self.num_transformer_decoder_layers + 1)

    @property
    def _last_layer(self) -> range:
        """Where testing predicts: after the last layer."""
        return self._every_layer[-1:]

    def _run_decoder(
        self, queries: Tensor, decoder_input: DecoderInput, predict_at: range
    ) -> DecoderOutput:
        """Run all decoder layers.

        A mask at stride 4 is made only where a prediction is wanted.

        Args:
            queries: ``(B, Q, C)``.
            decoder_input: What the layers attend to.
            predict_at: After how many layers to predict, 0 to all of them.
        """
        query_pos = self.query_embed.weight.expand(len(queries), -1, -1)
        cls_scores, masks = [], []
        for index in self._every_layer:
            mask_embed, cls_score = self._embed(queries)
            if index in predict_at:
                cls_scores.append(cls_score)
                masks.append(QueryMasks(mask_embed, decoder_input.mask_features))
            if index == self.num_transformer_decoder_layers:
                return DecoderOutput(cls_scores, masks, queries)
            level = index % self.num_transformer_feat_level
            queries = self.transformer_decoder.layers[index](
                query=queries,
                key=decoder_input.tokens[level],
                value=decoder_input.tokens[level],
                query_pos=query_pos,
                key_pos=decoder_input.positions[level],
                cross_attn_mask=_attention_mask(
                    QueryMasks(mask_embed, decoder_input.small_features[level])
                ),
            )

    def _embed(self, queries: Tensor) -> tuple:
        queries = self.transformer_decoder.post_norm(queries)
        return self.mask_embed(queries), self.cls_embed(queries)

    def loss_by_feat(self, output: DecoderOutput, targets: list) -> dict:
        """Compute matches and losses of every layer in float32, under mixed precision too.

        Args:
            output: One prediction for each layer.
            targets: For each picture ``labels`` ``(K,)`` and ``masks`` ``(K, V, H, W)``.

        Returns:
            Losses by name, those of earlier layers with the prefix ``d{i}.``.
        """
        losses, last = {}, len(output.cls_scores) - 1
        with torch.autocast(output.queries.device.type, enabled=False):
            # the gradient of one picture shall not be a tensor of all
            features = [feature.float() for feature in output.masks[0].features.unbind()]
            points = [self._look_at_points(*pair) for pair in zip(features, targets)]
            for layer, (cls_scores, masks) in enumerate(zip(output.cls_scores, output.masks)):
                values = self._loss_by_feat_single(
                    cls_scores.float(), QueryMasks(masks.embeds.float(), features), targets, points
                )
                prefix = '' if layer == last else f'd{layer}.'
                for name, value in zip(('loss_cls', 'loss_mask', 'loss_dice'), values):
                    losses[prefix + name] = value
        return losses

    def _loss_by_feat_single(
        self, cls_scores: Tensor, masks: QueryMasks, targets: list, points: list
    ) -> tuple:
        """Compute the losses of one layer.

        Args:
            cls_scores: ``(B, Q, classes + 1)``.
            masks: Masks of B pictures.
            targets: As for :meth:`loss_by_feat`.
            points: :class:`MatchingPoints` of B pictures.

        Returns:
            Classification, mask and dice loss. The mask losses sum over entity
            and view and are divided by the number of entities.
        """
        labels = cls_scores.new_full(cls_scores.shape[:2], self.num_classes, dtype=torch.long)
        matched_logits, matched_masks = [], []
        for b, gt in enumerate(targets):
            query, entity = self._match(cls_scores[b], masks.embeds[b], gt.labels, points[b])
            labels[b, query] = gt.labels[entity]
            # each view is a mask of its own
            matched_logits.append(masks.logits_of(b, query).flatten(0, 1))
            matched_masks.append(gt.masks[entity].transpose(0, 1).flatten(0, 1))

        class_weight = cls_scores.new_tensor(self.class_weight)
        loss_cls = self.loss_cls(
            cls_scores.flatten(0, 1),
            labels.flatten(),
            avg_factor=class_weight[labels].sum(),
        )
        num_entities = sum(len(gt.labels) for gt in targets)
        num_entities = reduce_mean(cls_scores.new_tensor([num_entities])).clamp(min=1)
        mask_logits = torch.cat(matched_logits)[:, None]
        if len(mask_logits) == 0:
            nothing = mask_logits.sum()
            return loss_cls, nothing, nothing
        points, point_targets = self._point_targets(mask_logits, torch.cat(matched_masks))
        point_logits = point_sample(mask_logits, points).squeeze(1)
        loss_dice = self.loss_dice(point_logits, point_targets, avg_factor=num_entities)
        loss_mask = self.loss_mask(
            point_logits.flatten(),
            point_targets.flatten(),
            avg_factor=num_entities * points.shape[1],
        )
        return loss_cls, loss_mask, loss_dice

    @torch.no_grad()
    def _look_at_points(self, features: Tensor, gt_instances: InstanceData) -> MatchingPoints:
        """Draw the points that the matching of one picture looks at.

        The same are looked at on every view and in every layer, so features and
        true masks are sampled once.

        Args:
            features: ``(V, C, h, w)``.
            gt_instances: With ``masks`` bool ``(K, V, H, W)``.
        """
        points = self._match_points(features.device)
        sampled = point_sample(features, points.expand(len(features), -1, -1))
        masks = gt_instances.masks
        true = sample_masks(masks.flatten(0, 1), points).unflatten(0, masks.shape[:2])
        return MatchingPoints(sampled.transpose(0, 1).flatten(1), true.flatten(1))

    @torch.no_grad()
    def _match(
        self, cls_score: Tensor, mask_embed: Tensor, gt_labels: Tensor, points: MatchingPoints
    ) -> tuple:
        """Assign the entities of a picture to queries.

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
    def _point_targets(self, mask_logits: Tensor, masks: Tensor) -> tuple:
        """Draw the points of the mask losses, and sample the true masks there.

        Args:
            mask_logits: ``(N, 1, h, w)``.
            masks: bool ``(N, H, W)``.

        Returns:
            Points ``(N, P, 2)`` as (x, y) in 0..1, and true masks ``(N, P)``.
        """
        points, targets = [], []
        for logits, true in zip(mask_logits.split(MASK_CHUNK), masks.split(MASK_CHUNK)):
            points.append(self._loss_points(logits))
            targets.append(sample_masks(true, points[-1]))
        return torch.cat(points), torch.cat(targets)

    def _match_points(self, device: torch.device) -> Tensor:
        """Draw the points of the matching cost, ``(1, P, 2)`` as (x, y) in 0..1."""
        return torch.rand((1, self.num_points, 2), device=device)

    def _loss_points(self, mask_logits: Tensor) -> Tensor:
        """Draw the points of the mask losses, mostly where a mask is uncertain.

        Args:
            mask_logits: ``(N, 1, h, w)``.

        Returns:
            ``(N, P, 2)`` as (x, y) in 0..1.
        """
        return get_uncertain_point_coords_with_randomness(
            mask_logits, None, self.num_points, self.oversample_ratio, self.importance_sample_ratio
        )


@MODELS.register_module()
class CropFormerHead(EntityMask2FormerHead):
    """CropFormer's head: two passes of one decoder (CropFormer, section 4.2).

    The per-view pass decodes every view by itself. The association makes one
    set of queries of all of them. The cross-view pass runs the same decoder
    layers over the features of all views together and gives each query one
    class and a mask on every view.

    Args:
        association: Config of :class:`QueryAssociation`.
        per_view_loss_weight: Weight of the per-view losses; the cross-view
            losses have weight 1.
    """

    def __init__(
        self, *args, association: ConfigType, per_view_loss_weight: float = 0.5, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.association = MODELS.build(association)
        self.per_view_loss_weight = per_view_loss_weight

    def forward(self, x: tuple, batch_data_samples: SampleList) -> tuple:
        """Decode with deep supervision.

        Args:
            x: Feature maps of the backbone over ``B * V`` views.
            batch_data_samples: B samples.

        Returns:
            The per-view output over ``B * V`` views and the cross-view output
            over B pictures.
        """
        return self._both_passes(x, len(batch_data_samples), self._every_layer, self._every_layer)

    def predict(self, x: tuple, batch_data_samples: SampleList) -> tuple:
        """Decode for testing.

        Returns:
            Class logits ``(B, Q, classes + 1)`` and mask logits at stride 4 of
            the padded input, ``(B, Q, V, h, w)``, of the last cross-view layer.
        """
        # the per-view masks are not part of the result
        _, output = self._both_passes(x, len(batch_data_samples), range(0), self._last_layer)
        return output.cls_scores[-1], output.masks[-1].logits()

    def loss(self, x: tuple, batch_data_samples: SampleList) -> dict:
        """Compute the set losses of both passes.

        Per view, an entity outside a crop is left out; across views it stays,
        with an empty mask where it is not seen.

        Returns:
            Losses with the prefixes ``per_view.`` and ``cross_view.``.
        """
        per_view, cross_view = self(x, batch_data_samples)
        entities = [sample.gt_instances for sample in batch_data_samples]
        view_targets = [
            _targets_in_view(gt, v) for gt in entities for v in range(gt.in_view.shape[1])
        ]
        losses = {
            f'per_view.{name}': value * self.per_view_loss_weight
            for name, value in self.loss_by_feat(per_view, view_targets).items()
        }
        for name, value in self.loss_by_feat(cross_view, entities).items():
            losses[f'cross_view.{name}'] = value
        return losses

    def _both_passes(
        self, x: tuple, num_images: int, per_view_at: range, cross_view_at: range
    ) -> tuple:
        """Run both passes, with predictions after the given numbers of layers."""
        num_views = len(x[0]) // num_images
        if num_views < 2:
            raise ValueError(
                'CropFormer needs the whole picture and its crops, got 1 view; '
                'put CropViews into the pipeline, or use EntityMask2Former'
            )
        mask_features, multi_scale = self._decode_pixels(x)
        decoder_input = self._decoder_input(mask_features, multi_scale)
        per_view = self._run_decoder(self._first_queries(len(x[0])), decoder_input, per_view_at)
        queries = self.association(
            per_view.queries.unflatten(0, (num_images, num_views)), self.query_embed.weight
        )
        cross_view = self._run_decoder(
            queries, self._join_views(decoder_input, num_views), cross_view_at
        )
        return per_view, cross_view

    def _join_views(self, decoder_input: DecoderInput, num_views: int) -> DecoderInput:
        """Arrange the input of the first pass for one over the V views of a picture together."""
        tokens, small_features, (mask_features,) = (
            [tensor.unflatten(0, (-1, num_views)).flatten(1, 2) for tensor in tensors]
            for tensors in (
                decoder_input.tokens,
                decoder_input.small_features,
                [decoder_input.mask_features],
            )
        )
        positions = [
            self._positions(num_views, *features.shape[-2:], features.device)
            for features in small_features
        ]
        return DecoderInput(tokens, positions, mask_features, small_features)

    def _positions(self, num_views: int, height: int, width: int, device: torch.device) -> Tensor:
        if num_views == 1:
            return super()._positions(num_views, height, width, device)
        views = self.decoder_positional_encoding.encode_views(num_views, height, width, device)
        return views.flatten(2).transpose(1, 2).flatten(0, 1)[None]


@torch.no_grad()
def _attention_mask(masks: QueryMasks) -> Tensor:
    """Block what a query's mask leaves out (Mask2Former, section 3.2.1).

    A query whose mask is empty on all views attends everywhere.

    Returns:
        bool ``(B, Q, V * h_l * w_l)``, True = blocked.
    """
    blocked = masks.logits().flatten(2) < 0
    blocked &= ~blocked.all(dim=-1, keepdim=True)
    return blocked


def _targets_in_view(gt_instances: InstanceData, view: int) -> InstanceData:
    """Entities that a view contains, with the masks ``(K', 1, H, W)`` of that view."""
    seen = gt_instances.in_view[:, view]
    return InstanceData(
        labels=gt_instances.labels[seen], masks=gt_instances.masks[seen][:, view : view + 1]
    )
