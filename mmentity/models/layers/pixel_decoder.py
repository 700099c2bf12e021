"""Mask2Former's pixel decoder, built with this package's deformable attention."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmdet.models.layers import MSDeformAttnPixelDecoder, SinePositionalEncoding
from mmdet.models.layers.transformer.deformable_detr_layers import (
    DeformableDetrTransformerEncoderLayer,
)
from mmdet.models.layers.transformer.mask2former_layers import Mask2FormerTransformerEncoder
from mmdet.utils import ConfigType
from mmengine.model import ModuleList
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from mmentity.models.layers.deformable_attention import DeformableAttention, attention_way
from mmentity.models.layers.sampled_sums import PaddedRows, Sizes, query_chunks
from mmentity.registry import MODELS


class PixelFeatures(NamedTuple):
    """What the pixel decoder gives.

    Attributes:
        mask_features: At stride 4, ``(B, C, h, w)``.
        multi_scale: Features for the transformer decoder, coarsest first, each
            ``(B, C, h_l, w_l)``.
    """

    mask_features: Tensor
    multi_scale: list[Tensor]


class PixelEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """Layer of mmdet's encoder with :class:`DeformableAttention`; parameters keep their names.

    In testing on the CPU it takes some tokens at a time: once the values are projected,
    tokens are independent of each other up to the end of the layer, so what a few of them
    need stays in the cache.

    Args:
        with_cp: Whether the layer is computed again for the gradient, which takes less
            memory and more time.
    """

    def __init__(self, *args: Any, with_cp: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.with_cp = with_cp

    def _init_layers(self) -> None:
        self.self_attn = DeformableAttention(**self.self_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = ModuleList(
            build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(2)
        )

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        key_padding_mask: Optional[Tensor] = None,
        *,
        reference_points: Tensor,
        spatial_shapes: Sizes,
    ) -> Tensor:
        """Encode tokens.

        Args:
            query: Tokens of all levels, one level after the other, ``(B, K, C)``.
            query_pos: Their positions, ``(B, K, C)`` or what broadcasts to it.
            key_padding_mask: bool ``(B, K)``, True = nobody attends to this token.
            reference_points: Where each token lies, ``(B, K, levels, 2)`` as (x, y) in
                0..1, or what broadcasts to it.
            spatial_shapes: Height and width of each level.

        Returns:
            ``(B, K, C)``.
        """
        inputs: dict[str, Any] = {
            'reference_points': reference_points,
            'spatial_shapes': spatial_shapes,
        }
        if torch.is_grad_enabled() or attention_way(query.device) != 'embedding_bag':
            arguments = (query, query_pos, key_padding_mask)
            if self.with_cp and torch.is_grad_enabled():
                return checkpoint(super().forward, *arguments, use_reentrant=False, **inputs)
            return super().forward(*arguments, **inputs)

        attention, encoded = self.self_attn, torch.empty_like(query)
        query_pos = query_pos.expand_as(query)
        reference_points = reference_points.expand(*query.shape[:2], -1, -1)
        for b, tokens in enumerate(query):
            padding = None if key_padding_mask is None else key_padding_mask[b]
            values = attention.project(tokens, padding)
            rows = PaddedRows(values, spatial_shapes, attention.num_heads, attention.num_points)
            for chunk in query_chunks(len(tokens)):
                some = tokens[chunk]
                samples = attention.samples(
                    some + query_pos[b, chunk], reference_points[b, chunk], spatial_shapes
                )
                some = attention.dropout(attention.output_proj(rows.sums(samples))) + some
                encoded[b, chunk] = self.norms[1](self.ffn(self.norms[0](some)))
        return encoded


class PixelEncoder(Mask2FormerTransformerEncoder):
    """mmdet's encoder, built of :class:`PixelEncoderLayer`; ``with_cp`` is for all layers."""

    def __init__(self, *args: Any, with_cp: bool = False, **kwargs: Any) -> None:
        self.with_cp = with_cp
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        self.layers = ModuleList(
            PixelEncoderLayer(**self.layer_cfg, with_cp=self.with_cp)
            for _ in range(self.num_layers)
        )
        self.embed_dims = self.layers[0].embed_dims

    def forward(self, query: Tensor, **inputs: Any) -> Tensor:
        """Encode tokens; arguments and result as of :meth:`PixelEncoderLayer.forward`."""
        for layer in self.layers:
            query = layer(query, **inputs)
        return query


@MODELS.register_module()
class EntityPixelDecoder(MSDeformAttnPixelDecoder):
    """Pixel decoder with deformable attention that is fast on every device.

    Arguments, weights and results are those of :class:`mmdet.models.MSDeformAttnPixelDecoder`.
    Sizes of feature maps are integers throughout, so the decoder can be traced.

    Args:
        encoder: Config of the encoder: ``num_layers`` and ``layer_cfg``.
        positional_encoding: Config of the sine encoding.
        with_cp: Whether the layers of the encoder are computed again for the gradient,
            which takes less memory and more time.
    """

    def __init__(
        self,
        *args: Any,
        encoder: ConfigType,
        positional_encoding: Optional[ConfigType] = None,
        with_cp: bool = False,
        **kwargs: Any,
    ) -> None:
        positional_encoding = positional_encoding or {'num_feats': 128, 'normalize': True}
        super().__init__(*args, encoder=encoder, positional_encoding=positional_encoding, **kwargs)
        self.encoder = PixelEncoder(**encoder, with_cp=with_cp)
        self.positional_encoding = SinePositionalEncoding(**positional_encoding)

    def forward(self, feats: Sequence[Tensor]) -> PixelFeatures:
        """Decode the feature maps of a backbone, finest first, each ``(B, C, h, w)``."""
        coarse_first = list(feats)[::-1]
        levels = [project(feature) for project, feature in zip(self.input_convs, coarse_first)]
        sizes = [_size_of(level) for level in levels]
        device = levels[0].device
        positions = [
            self._positions(size, device) + embedding
            for size, embedding in zip(sizes, self.level_encoding.weight)
        ]
        tokens = self.encoder(
            torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1),
            query_pos=torch.cat(positions),
            reference_points=torch.cat([_centres(size, device) for size in sizes])[:, None],
            spatial_shapes=sizes,
        )
        # as feature maps lie in memory, the levels are cut out and resized without copies
        maps = tokens.transpose(1, 2).contiguous().split([h * w for h, w in sizes], dim=-1)
        outs = [level.unflatten(-1, size) for level, size in zip(maps, sizes)]
        finer = coarse_first[self.num_encoder_levels :]
        for feature, lateral, output in zip(finer, self.lateral_convs, self.output_convs):
            resized = F.interpolate(
                outs[-1], _size_of(feature), mode='bilinear', align_corners=False
            )
            outs.append(output(lateral(feature) + resized))
        return PixelFeatures(self.mask_feature(outs[-1]), outs[: self.num_outs])

    def _positions(self, size: tuple[int, int], device: torch.device) -> Tensor:
        """Sine encoding of the cells of a level, ``(h * w, C)``."""
        mask = torch.zeros((1, *size), dtype=torch.bool, device=device)
        return self.positional_encoding(mask)[0].flatten(1).T


def _size_of(feature: Tensor) -> tuple[int, int]:
    height, width = feature.shape[-2:]
    return int(height), int(width)


def _centres(size: tuple[int, int], device: torch.device) -> Tensor:
    """Centres of the cells of a level as (x, y) in 0..1, float32 ``(h * w, 2)``."""
    y, x = ((torch.arange(side, device=device) + 0.5) / side for side in size)
    return torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1).flatten(0, 1)
