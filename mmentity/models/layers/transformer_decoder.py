"""Mask2Former's transformer decoder, built with fused attention."""

from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmdet.models.layers.transformer.mask2former_layers import (
    Mask2FormerTransformerDecoder,
    Mask2FormerTransformerDecoderLayer,
)
from mmengine.model import ModuleList
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmentity.models.layers.attention import FusedAttention


class FusedDecoderLayer(Mask2FormerTransformerDecoderLayer):
    """Layer of mmdet's decoder with :class:`FusedAttention`; parameters keep their names.

    Masks of the cross-attention have one entry for all heads, bool ``(B, Q, K)``.

    Args:
        with_cp: Whether the layer is computed again for the gradient, which takes
            less memory and more time.
    """

    def __init__(self, *args: Any, with_cp: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.with_cp = with_cp

    def _init_layers(self) -> None:
        self.self_attn = FusedAttention(**self.self_attn_cfg)
        self.cross_attn = FusedAttention(**self.cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = ModuleList(
            build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(3)
        )

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Decode queries ``(B, Q, C)``, with the arguments and the result of mmdet's layer."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(super().forward, *args, use_reentrant=False, **kwargs)
        return super().forward(*args, **kwargs)


class FusedDecoder(Mask2FormerTransformerDecoder):
    """mmdet's decoder, built of :class:`FusedDecoderLayer`; ``with_cp`` is for all layers."""

    def __init__(self, *args: Any, with_cp: bool = False, **kwargs: Any) -> None:
        self.with_cp = with_cp
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        self.layers = ModuleList(
            FusedDecoderLayer(**self.layer_cfg, with_cp=self.with_cp)
            for _ in range(self.num_layers)
        )
        self.embed_dims = self.layers[0].embed_dims
        self.post_norm = build_norm_layer(self.post_norm_cfg, self.embed_dims)[1]
