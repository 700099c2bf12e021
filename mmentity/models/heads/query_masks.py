"""Masks of queries, made only where they are needed."""

from collections.abc import Sequence
from typing import NamedTuple, Union

import torch
from torch import Tensor

from mmentity.models.transfers import move


class QueryMasks(NamedTuple):
    """Masks as the products of an embedding for each query and a feature for each cell.

    So masks at stride 4 are made only of the queries that need them, and sampling
    between cells can be done on the features, as it is linear.

    Attributes:
        embeds: ``(B, Q, C)``.
        features: ``(B, V, C, h, w)``, or one ``(V, C, h, w)`` for each image.
    """

    embeds: Tensor
    features: Union[Tensor, Sequence[Tensor]]

    def logits(self) -> Tensor:
        """Make the masks of all queries, ``(B, Q, V, h, w)``."""
        features = self.features
        if not isinstance(features, Tensor):
            features = torch.stack(tuple(features))
        logits = self.embeds[:, None] @ features.flatten(3)
        return logits.unflatten(-1, features.shape[-2:]).transpose(1, 2)

    def logits_of(self, b: int, queries: Tensor) -> Tensor:
        """Make the masks of some queries of one image.

        Args:
            b: Number of the image.
            queries: int64 ``(N,)``.

        Returns:
            ``(V, N, h, w)``.
        """
        features = self.features[b]
        # matmul would fold the views into the rows, and copy the features for that
        embeds = self.embeds[b, queries].expand(len(features), -1, -1)
        return embeds.bmm(features.flatten(2)).unflatten(-1, features.shape[-2:])


@torch.no_grad()
def attention_mask(masks: QueryMasks) -> Tensor:
    """Block the cells outside of a query's mask (Mask2Former, section 3.2.1).

    A query whose mask is empty on all views attends everywhere.

    Returns:
        bool ``(B, Q, V * h * w)``, True = blocked.
    """
    blocked = masks.logits().flatten(2) < 0
    blocked &= ~blocked.all(dim=-1, keepdim=True)
    return blocked


def sample_masks(masks: Tensor, points: Tensor) -> Tensor:
    """Sample boolean masks as :func:`mmcv.ops.point_sample` does floats.

    Args:
        masks: bool ``(N, H, W)``.
        points: ``(N, P, 2)``, or ``(1, P, 2)`` for all masks, as (x, y) in 0..1.

    Returns:
        float32 ``(N, P)``, 0..1; a float for each pixel is never made.
    """
    count, height, width = masks.shape
    bordered = masks.new_zeros((count, height + 2, width + 2))
    bordered[:, 1:-1, 1:-1] = masks
    size = torch.tensor([width, height], dtype=points.dtype)
    cells = points * move(size, points.device) + 0.5
    low = cells.floor()
    right, below = (cells - low).unbind(-1)
    x, y = low.long().unbind(-1)
    index = (y * (width + 2) + x).expand(count, -1)
    top_left, top_right, low_left, low_right = (
        bordered.flatten(1).gather(1, index + step).float() for step in (0, 1, width + 2, width + 3)
    )
    top = torch.lerp(top_left, top_right, right)
    return top.lerp_(torch.lerp(low_left, low_right, right), below)
