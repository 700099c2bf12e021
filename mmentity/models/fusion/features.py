"""A feature for each entity: from the features of the views, over the entity's pixels.

The features of a view are resized to its box in the image as its mask logits are, and a pixel
has the mean over the views that cover it. The feature of an entity is the mean over its
pixels. All of that is linear, so the mask of the entity is brought to the cells of each view
by the same matrices, transposed, and a feature of full size is never made.
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mmentity.models.fusion.fusion_head import FusionResult
from mmentity.models.fusion.geometry import Axis, ViewGeometry, strips
from mmentity.models.fusion.ways import in_float32
from mmentity.models.transfers import move

# pixels of an entity's box that are worked on together
STRIP_PIXELS = 1 << 21


@torch.no_grad()
def add_features(
    result: FusionResult, mask_features: Tensor, queries: Tensor, geometry: ViewGeometry
) -> None:
    """Give the entities of one image ``pooled_features`` and ``query_features``, float32.

    Args:
        result: Entities; both become ``(N, C)`` in its ``pred_instances``. An entity without
            a pixel has a pooled feature of 0.
        mask_features: What the pixel decoder gives, ``(V, C, h, w)``.
        queries: Embeddings of the queries, ``(Q, C)``.
        geometry: Where the views lie in the image.
    """
    instances = result['pred_instances']
    with in_float32(mask_features.device):
        instances.pooled_features = pool_features(
            mask_features, result['pred_entity_map'].ids[0], instances.bboxes, geometry
        )
        instances.query_features = queries[instances.query_inds].float()


def pool_features(
    features: Tensor, ids: Tensor, boxes_xyxy_px: Tensor, geometry: ViewGeometry
) -> Tensor:
    """Average the features of each entity over its pixels.

    Args:
        features: At the cells of the views, ``(V, C, h, w)``.
        ids: int32 ``(H0, W0)``, 0 = no entity, k = entity k.
        boxes_xyxy_px: A box around each entity, ``(N, 4)``, right and bottom exclusive.
        geometry: Where the views lie in the image.

    Returns:
        float32 ``(N, C)``; 0 for an entity without a pixel.
    """
    resizing = [
        (_Resizing(row, ids.device), _Resizing(column, ids.device))
        for row, column in zip(geometry.rows, geometry.columns)
    ]
    pooled = torch.zeros((len(boxes_xyxy_px), features.shape[1]), device=ids.device)
    areas = torch.zeros(len(pooled), device=ids.device)
    # the host asks for the boxes once: they say which cells are read
    for k, box in enumerate(boxes_xyxy_px.long().tolist()):
        for x0, y0, x1, y1 in strips(box, STRIP_PIXELS):
            mask = ids[y0:y1, x0:x1] == k + 1
            areas[k] += mask.sum()
            shares = mask / geometry.count((x0, y0, x1, y1))
            for view, (rows, columns) in zip(features, resizing):
                down, across = rows.part(y0, y1), columns.part(x0, x1)
                if down is None or across is None:
                    continue
                seen = shares[down.inside, :][:, across.inside]
                weights = down.weights.T @ seen @ across.weights
                cells = view[:, down.cells, across.cells].flatten(1).float()
                pooled[k] += cells @ weights.flatten()
    return pooled.div_(areas.clamp_(min=1)[:, None])


class _Part(NamedTuple):
    """A stretch of pixels of the image along one axis of one view.

    Attributes:
        inside: Which of them lie in the view.
        cells: Low-res cells that these take.
        weights: Weight of each cell at each pixel, float32 ``(pixels, cells)``.
    """

    inside: slice
    cells: slice
    weights: Tensor


class _Resizing:
    """Resizing along one axis of one view, as one matrix on the device."""

    def __init__(self, axis: Axis, device: torch.device) -> None:
        self.axis = axis
        self.weights = move(axis.rows_of(torch.arange(len(axis.cells))), device)

    def part(self, start: int, stop: int) -> Optional[_Part]:
        """Give the part of the pixels ``start..stop`` of the image, None if it has none."""
        axis = self.axis
        first, last = max(start, axis.start), min(stop, axis.stop)
        if first >= last:
            return None
        pixels = slice(first - axis.start, last - axis.start)
        low, high = int(axis.cells[pixels.start, 0]), int(axis.cells[pixels.stop - 1, -1]) + 1
        weights = self.weights[pixels, low:high]
        return _Part(slice(first - start, last - start), slice(low, high), weights)
