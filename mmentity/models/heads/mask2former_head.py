"""Mask2Former's head with a view axis."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

import torch
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import SampleList
from mmdet.utils import ConfigType
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmentity.models.heads.query_masks import QueryMasks, attention_mask
from mmentity.models.heads.set_loss import SetLoss, targets_of_views
from mmentity.models.layers.pixel_decoder import EntityPixelDecoder, PixelFeatures
from mmentity.models.layers.positional_encoding import ViewSinePositionalEncoding
from mmentity.models.layers.transformer_decoder import FusedDecoder
from mmentity.models.memory import over_views, views_at_a_time
from mmentity.registry import MODELS


class DecoderInput(NamedTuple):
    """What one pass of the decoder attends to.

    Attributes:
        tokens: Features of each level, coarsest first, ``(B, V * h_l * w_l, C)``.
        positions: Their positional encodings, ``(1, V * h_l * w_l, C)``.
        mask_features: ``(B, V, C, h, w)`` at stride 4.
        small_features: The same resized to each level, without a gradient, each
            ``(B, V, C, h_l, w_l)``.
    """

    tokens: list[Tensor]
    positions: list[Tensor]
    mask_features: Tensor
    small_features: list[Tensor]


class DecoderOutput(NamedTuple):
    """What one pass of the decoder gives.

    Attributes:
        cls_scores: Class logits of the predicted layers, each ``(B, Q, classes + 1)``.
        masks: Masks of the same layers, at stride 4.
        queries: Queries after the last layer, before the final norm, ``(B, Q, C)``.
    """

    cls_scores: list[Tensor]
    masks: list[QueryMasks]
    queries: Tensor

    def prediction(self) -> 'HeadPrediction':
        """Make the logits of the last layer."""
        return HeadPrediction(self.cls_scores[-1], self.masks[-1].logits())


class HeadPrediction(NamedTuple):
    """What a head gives in testing.

    Attributes:
        cls_logits: ``(B, Q, classes + 1)``.
        mask_logits: At stride 4 of the padded input, ``(B, Q, V, h, w)``.
    """

    cls_logits: Tensor
    mask_logits: Tensor


class HeadFeatures(NamedTuple):
    """What a head makes its logits of.

    Attributes:
        mask_features: Of the pixel decoder at stride 4 of the padded input,
            ``(B, V, C, h, w)``.
        queries: Embedding of each query: after the last layer and the final norm,
            ``(B, Q, C)``.
    """

    mask_features: Union[Tensor, Sequence[Tensor]]
    queries: Tensor


@MODELS.register_module()
class EntityMask2FormerHead(Mask2FormerHead):
    """Mask2Former's head over images of one view.

    Takes the arguments of :class:`mmdet.models.Mask2FormerHead`. It differs in
    three points: masks carry a view axis, so that CropFormer can share the
    decoder; :meth:`predict` gives mask logits at stride 4 and leaves all
    resizing to the fusion head; and masks are normalised by the number of
    ground-truth entities. Where the config names mmdet's ``MSDeformAttnPixelDecoder``, its
    faster equal :class:`EntityPixelDecoder` is built.

    Args:
        in_channels: Channels of each feature map of the backbone.
        pixel_decoder: Config of the pixel decoder.
        transformer_decoder: Arguments of the transformer decoder.
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
        *args: Any,
        pixel_decoder: ConfigType,
        transformer_decoder: ConfigType,
        num_queries: int = 100,
        positional_encoding: Optional[ConfigType] = None,
        with_cp: bool = False,
        **kwargs: Any,
    ) -> None:
        if num_queries < 1:
            raise ValueError(f'num_queries is {num_queries}; a head needs at least one query')
        positional_encoding = positional_encoding or {'num_feats': 128, 'normalize': True}
        super().__init__(
            in_channels,
            *args,
            pixel_decoder=_faster_pixel_decoder(pixel_decoder, with_cp),
            transformer_decoder=transformer_decoder,
            num_queries=num_queries,
            positional_encoding=positional_encoding,
            **kwargs,
        )
        self.in_channels = list(in_channels)
        # of the same parameters as those that mmdet's head has built
        self.transformer_decoder = FusedDecoder(**transformer_decoder, with_cp=with_cp)
        self.decoder_positional_encoding = ViewSinePositionalEncoding(**positional_encoding)
        if self.train_cfg:
            self.set_loss = SetLoss(
                self.assigner,
                self.loss_cls,
                self.loss_mask,
                self.loss_dice,
                self.class_weight,
                self.num_points,
                self.oversample_ratio,
                self.importance_sample_ratio,
            )

    def forward(self, x: Sequence[Tensor], batch_data_samples: SampleList) -> DecoderOutput:
        """Decode every image by itself.

        Args:
            x: Feature maps of the backbone, finest first, each ``(B, C, h, w)``.
            batch_data_samples: B samples.

        Returns:
            One prediction before and one after each decoder layer.
        """
        decoder_input = self._decoder_input(self._decode_pixels(x))
        return self._run_decoder(self._first_queries(len(x[0])), decoder_input, self._every_layer)

    def predict(self, x: Sequence[Tensor], batch_data_samples: SampleList) -> HeadPrediction:
        """Decode for testing, with a prediction of the last layer only."""
        return self._decode_last(x, len(batch_data_samples)).prediction()

    def predict_with_features(
        self, x: Sequence[Tensor], batch_data_samples: SampleList
    ) -> tuple[HeadPrediction, HeadFeatures]:
        """Decode as :meth:`predict` does, and give what the logits are made of too."""
        output = self._decode_last(x, len(batch_data_samples))
        queries = self.transformer_decoder.post_norm(output.queries)
        return output.prediction(), HeadFeatures(output.masks[-1].features, queries)

    def loss(self, x: Sequence[Tensor], batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Compute the set loss of every layer.

        Args:
            x: Feature maps of the backbone, each ``(B, C, h, w)``.
            batch_data_samples: B samples with ``gt_instances`` as made by
                :class:`MultiViewDataPreprocessor`.

        Returns:
            Losses by name, those of earlier layers with the prefix ``d{i}.``.
        """
        output = self(x, batch_data_samples)
        entities = [sample.gt_instances for sample in batch_data_samples]
        targets = [views[0] for views in targets_of_views(entities)]
        return self.set_loss(output.cls_scores, output.masks, targets)

    def _decode_last(self, x: Sequence[Tensor], num_images: int) -> DecoderOutput:
        """Decode images with a prediction of the last layer only."""
        decoder_input = self._decoder_input(self._decode_pixels(x))
        return self._run_decoder(self._first_queries(len(x[0])), decoder_input, self._last_layer)

    def _decode_pixels(self, x: Sequence[Tensor]) -> PixelFeatures:
        """Run the pixel decoder; under mixed precision too its training is in float32.

        So it is in the official release. In testing :class:`EntityPixelDecoder` keeps in
        float32 what needs it, and others are run in float32.
        """
        _check_channels(x, self.in_channels)
        step = self._views_at_a_time(x[0])
        if isinstance(self.pixel_decoder, EntityPixelDecoder) and not torch.is_grad_enabled():
            mask_features, *multi_scale = over_views(self._decode_some_pixels, x, step)
        else:
            with torch.autocast(x[0].device.type, enabled=False):
                x = [feature.float() for feature in x]
                mask_features, *multi_scale = over_views(self._decode_some_pixels, x, step)
        return PixelFeatures(mask_features, multi_scale)

    def _decode_some_pixels(self, *features: Tensor) -> tuple[Tensor, ...]:
        mask_features, multi_scale = self.pixel_decoder(list(features))
        return (mask_features, *multi_scale)

    def _views_at_a_time(self, finest: Tensor) -> int:
        if torch.is_grad_enabled() or self.training:
            return len(finest)
        return views_at_a_time(finest, finest.shape[1], self.test_cfg)

    def _decoder_input(self, pixels: PixelFeatures) -> DecoderInput:
        """Arrange features of ``B * V`` views for a pass over every view by itself."""
        mask_features = pixels.mask_features
        tokens, sizes = [], []
        levels = list(zip(pixels.multi_scale, self.decoder_input_projs, self.level_embed.weight))
        for feature, project, level_embed in levels[: self.num_transformer_feat_level]:
            feature = project(feature)
            tokens.append(feature.flatten(2).transpose(1, 2).contiguous() + level_embed)
            sizes.append(feature.shape[-2:])
        positions = [
            self._positions(1, height, width, mask_features.device) for height, width in sizes
        ]
        # resizing is linear, so attention masks come from features that are resized once
        small_features = [_shrink(mask_features.detach(), size) for size in sizes]
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
            normed = self.transformer_decoder.post_norm(queries)
            mask_embed = self.mask_embed(normed)
            if index in predict_at:
                cls_scores.append(self.cls_embed(normed))
                masks.append(QueryMasks(mask_embed, decoder_input.mask_features))
            if index == self.num_transformer_decoder_layers:
                break
            level = index % self.num_transformer_feat_level
            queries = self.transformer_decoder.layers[index](
                query=queries,
                key=decoder_input.tokens[level],
                value=decoder_input.tokens[level],
                query_pos=query_pos,
                key_pos=decoder_input.positions[level],
                cross_attn_mask=attention_mask(
                    QueryMasks(mask_embed, decoder_input.small_features[level])
                ),
            )
        return DecoderOutput(cls_scores, masks, queries)


def _shrink(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resize feature maps bilinearly to a smaller size, without antialias.

    At an even factor a cell is the mean of the four cells around its centre, which is read
    without what lies between; PyTorch copies all of the features first.
    """
    factors = [old / new for old, new in zip(features.shape[-2:], size)]
    if factors[0] != factors[1] or factors[0] % 2:
        return F.interpolate(features, tuple(size), mode='bilinear', align_corners=False)
    step = int(factors[0])
    low, high = slice(step // 2 - 1, None, step), slice(step // 2, None, step)
    rows = features[..., low, :] + features[..., high, :]
    return (rows[..., low] + rows[..., high]).mul_(0.25)


def _check_channels(features: Sequence[Tensor], in_channels: Sequence[int]) -> None:
    """Compare feature maps with what the head was built for.

    Raises:
        ValueError: If they differ in their number or their channels.
    """
    # a tracer makes tensors of sizes
    channels = [int(feature.shape[1]) for feature in features]
    if channels != list(in_channels):
        raise ValueError(
            f'the head gets feature maps of {channels} channels from the backbone (or the '
            f'neck), but its in_channels is {list(in_channels)}; set '
            f'model.panoptic_head.in_channels={channels}, or out_indices of the backbone'
        )


def _faster_pixel_decoder(config: ConfigType, with_cp: bool) -> ConfigType:
    """Ask for :class:`EntityPixelDecoder` where a config asks for mmdet's."""
    config = copy.deepcopy(config)
    kind = config['type']
    kind = MMDET_MODELS.get(kind) if isinstance(kind, str) else kind
    if kind is MSDeformAttnPixelDecoder:
        config['type'] = EntityPixelDecoder
    if with_cp:
        config['with_cp'] = True
    return config
