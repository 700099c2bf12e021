"""Attention with the weights of mmcv's module, computed faster and in less memory."""

from typing import Any, Optional

from mmcv.cnn.bricks.transformer import MultiheadAttention
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


class FusedAttention(MultiheadAttention):
    """Attention through PyTorch's fused kernels, with one mask for all heads.

    Neither the weights of the attention nor a mask for each head are ever held.
    """

    def forward(
        self,
        query: Tensor,
        key: Optional[Tensor] = None,
        value: Optional[Tensor] = None,
        identity: Optional[Tensor] = None,
        query_pos: Optional[Tensor] = None,
        key_pos: Optional[Tensor] = None,
        attn_mask: Optional[Tensor] = None,
        key_padding_mask: Optional[Tensor] = None,
        **kwargs: Any,
    ) -> Tensor:
        """Attend, with the arguments and the result of mmcv's module.

        Masks are True where attention is blocked: ``attn_mask`` is bool ``(B, Q, K)``,
        the same for all heads, and ``key_padding_mask`` bool ``(B, K)``.
        """
        key = query if key is None else key
        value = key if value is None else value
        identity = query if identity is None else identity
        if key_pos is None and query_pos is not None and query_pos.shape == key.shape:
            key_pos = query_pos
        query = query if query_pos is None else query + query_pos
        key = key if key_pos is None else key + key_pos
        weights = self.attn.in_proj_weight.chunk(3)
        biases = self.attn.in_proj_bias.chunk(3)
        query, key, value = (
            F.linear(tensor, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for tensor, weight, bias in zip((query, key, value), weights, biases)
        )
        out = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=_allowed(attn_mask, key_padding_mask),
            dropout_p=self.attn.dropout if self.training else 0.0,
        )
        out = self.attn.out_proj(out.transpose(1, 2).flatten(2))
        return identity + self.dropout_layer(self.proj_drop(out))


def _allowed(attn_mask: Optional[Tensor], key_padding_mask: Optional[Tensor]) -> Optional[Tensor]:
    """Invert masks to what may be attended to, bool ``(B, 1, Q, K)`` or broadcasting to it."""
    allowed = None if attn_mask is None else ~attn_mask[:, None]
    if key_padding_mask is None:
        return allowed
    unpadded = ~key_padding_mask[:, None, None]
    return unpadded if allowed is None else allowed & unpadded
