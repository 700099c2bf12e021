"""Masks of queries, made only where somebody looks."""

from typing import NamedTuple

from mmcv.ops import point_sample
from torch import Tensor


class QueryMasks(NamedTuple):
    """Masks as the products of an embedding for each query and a feature for each place.

    Both the product and bilinear sampling are linear, so logits at a few points
    come from features at these points, and masks at stride 4 are made of the
    queries that need them only.

    Attributes:
        embeds: ``(B, Q, C)``.
        features: ``(B, V, C, h, w)``, at stride 4 of the padded input or smaller.
    """

    embeds: Tensor
    features: Tensor

    def float(self) -> 'QueryMasks':
        """Give the same in float32."""
        return QueryMasks(self.embeds.float(), self.features.float())

    def logits(self) -> Tensor:
        """Make the masks of all queries, ``(B, Q, V, h, w)``."""
        logits = self.embeds[:, None] @ self.features.flatten(3)
        return logits.unflatten(-1, self.features.shape[-2:]).transpose(1, 2)

    def logits_of(self, b: int, queries: Tensor) -> Tensor:
        """Make the masks of some queries of one picture.

        Args:
            b: Number of the picture.
            queries: int64 ``(N,)``.

        Returns:
            ``(N, V, h, w)``.
        """
        logits = self.embeds[b, queries] @ self.features[b].flatten(2)
        return logits.unflatten(-1, self.features.shape[-2:]).transpose(0, 1)

    def logits_at(self, b: int, points: Tensor) -> Tensor:
        """Sample the masks of all queries of one picture at the same points of every view.

        Args:
            b: Number of the picture.
            points: ``(1, P, 2)`` as (x, y) in 0..1.

        Returns:
            ``(Q, V * P)``.
        """
        features = self.features[b]
        sampled = point_sample(features, points.expand(len(features), -1, -1))
        return (self.embeds[b] @ sampled).transpose(0, 1).flatten(1)
