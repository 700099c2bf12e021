"""From one set of queries for each view to one set for the image."""

from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from mmentity.models.layers.transformer_decoder import FusedDecoderLayer
from mmentity.registry import MODELS


class QueryAssociationLayer(FusedDecoderLayer):
    """Cross-attention with positions, self-attention without, FFN; post-norm."""

    def forward(self, query: Tensor, key: Tensor, query_pos: Tensor, key_pos: Tensor) -> Tensor:
        """Let each query attend to those of all views.

        Args:
            query: ``(B, Q, C)``.
            key: Queries of all views, also the values, ``(B, V * Q, C)``.
            query_pos: ``(B, Q, C)``.
            key_pos: ``(B, V * Q, C)``.

        Returns:
            ``(B, Q, C)``.
        """
        query = self.cross_attn(
            query=query, key=key, value=key, query_pos=query_pos, key_pos=key_pos
        )
        query = self.norms[0](query)
        query = self.norms[1](self.self_attn(query=query, key=query, value=query))
        return self.norms[2](self.ffn(query))


@MODELS.register_module()
class QueryAssociation(BaseModule):
    """Associate the queries of all views (CropFormer, section 4.2).

    The queries of the whole image attend to those of every view; the query
    embedding is the position of both.

    Args:
        embed_dims: Channels C.
        num_heads: Attention heads; divides ``embed_dims``.
        feedforward_channels: Width of the FFN.
        num_layers: Layers; the official release uses 1.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        num_layers: int = 1,
    ) -> None:
        super().__init__()
        attention = {'embed_dims': embed_dims, 'num_heads': num_heads, 'batch_first': True}
        self.layers = ModuleList(
            QueryAssociationLayer(
                self_attn_cfg=dict(attention),
                cross_attn_cfg=dict(attention),
                ffn_cfg={'embed_dims': embed_dims, 'feedforward_channels': feedforward_channels},
            )
            for _ in range(num_layers)
        )

    def forward(self, view_queries: Tensor, query_embed: Tensor) -> Tensor:
        """Merge the queries of all views.

        Args:
            view_queries: ``(B, V, Q, C)``; view 0 is the whole image.
            query_embed: Learnt position of each query, ``(Q, C)``.

        Returns:
            ``(B, Q, C)``.
        """
        num_images, num_views = view_queries.shape[:2]
        query = view_queries[:, 0]
        key = view_queries.flatten(1, 2)
        query_pos = query_embed.expand(num_images, -1, -1)
        key_pos = query_pos.repeat(1, num_views, 1)
        for layer in self.layers:
            query = layer(query, key, query_pos, key_pos)
        return query
