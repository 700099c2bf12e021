"""Attention with the weights of mmcv's modules, computed faster and in less memory."""

from typing import Optional

import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmentity.models.bilinear import corners

# queries whose samples are gathered at a time: their indices stay in the cache
QUERY_CHUNK = 2048


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
        **kwargs,
    ) -> Tensor:
        """Attend, as :class:`mmcv.cnn.bricks.transformer.MultiheadAttention` does.

        Args:
            query: ``(B, Q, C)``.
            key: ``(B, K, C)``; by default the queries.
            value: ``(B, K, C)``; by default the keys.
            identity: What the result is added to; by default the queries.
            query_pos: Added to the queries.
            key_pos: Added to the keys; by default ``query_pos``, where it fits.
            attn_mask: bool ``(B, Q, K)``, True = blocked.
            key_padding_mask: bool ``(B, K)``, True = blocked.

        Returns:
            ``(B, Q, C)``.
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
        projected = [
            F.linear(tensor, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for tensor, weight, bias in zip((query, key, value), weights, biases)
        ]
        out = F.scaled_dot_product_attention(
            *projected,
            attn_mask=_allowed(attn_mask, key_padding_mask),
            dropout_p=self.attn.dropout if self.training else 0.0,
        )
        out = self.attn.out_proj(out.transpose(1, 2).flatten(2))
        return identity + self.dropout_layer(self.proj_drop(out))


class BagDeformableAttention(MultiScaleDeformableAttention):
    """Deformable attention that reads its samples as bags of rows where that is faster.

    A sample is a weighted sum of four rows of the values, so a query and head
    is one bag of ``4 * levels * points`` rows for :func:`embedding_bag`. On the
    CPU that is faster than the bilinear sampling of mmcv's fallback; its
    gradient is slower, so training, and other devices, take mmcv's way.
    """

    def forward(
        self,
        query: Tensor,
        key: Optional[Tensor] = None,
        value: Optional[Tensor] = None,
        identity: Optional[Tensor] = None,
        query_pos: Optional[Tensor] = None,
        key_padding_mask: Optional[Tensor] = None,
        reference_points: Optional[Tensor] = None,
        spatial_shapes: Optional[Tensor] = None,
        level_start_index: Optional[Tensor] = None,
        **kwargs,
    ) -> Tensor:
        """Attend, with the arguments and the result of mmcv's module."""
        on_points = reference_points is not None and reference_points.shape[-1] == 2
        on_cpu = query.device.type == 'cpu'
        if torch.is_grad_enabled() or not (on_cpu and on_points and self.batch_first):
            return super().forward(
                query,
                key=key,
                value=value,
                identity=identity,
                query_pos=query_pos,
                key_padding_mask=key_padding_mask,
                reference_points=reference_points,
                spatial_shapes=spatial_shapes,
                level_start_index=level_start_index,
                **kwargs,
            )
        values = self.value_proj(query if value is None else value)
        if key_padding_mask is not None:
            values = values.masked_fill_(key_padding_mask[..., None], 0.0)
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        sampled = torch.empty((*query.shape[:2], values.shape[-1]), device=query.device)
        for b in range(len(query)):
            rows = values[b].reshape(values.shape[1] * self.num_heads, -1)
            for start in range(0, query.shape[1], QUERY_CHUNK):
                chunk = slice(start, start + QUERY_CHUNK)
                sampled[b, chunk] = self._gather(
                    rows,
                    query[b, chunk],
                    reference_points[b, chunk],
                    spatial_shapes,
                    level_start_index,
                )
        return self.dropout(self.output_proj(sampled)) + identity

    def _gather(
        self,
        rows: Tensor,
        query: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
    ) -> Tensor:
        """Sum the samples of some queries of one picture.

        Args:
            rows: Values, one row for each place and head, ``(K * heads, C / heads)``.
            query: ``(N, C)``, positions added.
            reference_points: ``(N, levels, 2)`` as (x, y) in 0..1.
            spatial_shapes: Height and width of each level, ``(levels, 2)``.
            level_start_index: First place of each level, ``(levels,)``.

        Returns:
            ``(N, C)``.
        """
        shape = (len(query), self.num_heads, self.num_levels, self.num_points)
        attention = self.attention_weights(query).view(*shape[:2], -1).softmax(-1).view(shape)
        sizes = spatial_shapes.flip(1)  # width, height, as the points are (x, y)
        # offsets are in cells of the level; centres of cells lie at halves
        points = self.sampling_offsets(query).view(*shape, 2)
        points = points + (reference_points * sizes)[:, None, :, None] - 0.5
        low = points.floor()
        high_weight = points.sub_(low)
        cells, limits = low.int(), (sizes - 1).int()[:, None]
        x, y = (
            corners(cells[..., axis], high_weight[..., axis], limits[..., axis]) for axis in (0, 1)
        )
        width = sizes[:, 0].int().view(-1, 1, 1)
        place = (y[0] * width + level_start_index.int().view(-1, 1, 1))[..., None] + x[0].unsqueeze(
            -2
        )
        head = torch.arange(self.num_heads, dtype=torch.int32, device=query.device)
        place = place.mul_(self.num_heads).add_(head.view(-1, 1, 1, 1, 1))
        weights = (y[1] * attention[..., None])[..., None] * x[1].unsqueeze(-2)
        bags = (len(query) * self.num_heads, -1)
        sums = F.embedding_bag(
            place.view(bags), rows, per_sample_weights=weights.view(bags), mode='sum'
        )
        return sums.view(len(query), -1)


def share_kernels(module: nn.Module) -> None:
    """Let the attention modules of mmcv inside a module compute as those of this file.

    mmdet's layers build mmcv's classes by themselves, so a config cannot ask for
    others. Parameters and names in checkpoints stay as they are.

    Args:
        module: For example a decoder of mmdet.
    """
    faster = {
        MultiheadAttention: FusedAttention,
        MultiScaleDeformableAttention: BagDeformableAttention,
    }
    for child in module.modules():
        if type(child) in faster and child.batch_first:
            child.__class__ = faster[type(child)]


def _allowed(attn_mask: Optional[Tensor], key_padding_mask: Optional[Tensor]) -> Optional[Tensor]:
    """What may be attended to, bool ``(B, 1, Q, K)`` or what broadcasts to it."""
    allowed = None if attn_mask is None else ~attn_mask[:, None]
    if key_padding_mask is None:
        return allowed
    unpadded = ~key_padding_mask[:, None, None]
    return unpadded if allowed is None else allowed & unpadded
