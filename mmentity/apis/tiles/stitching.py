"""From the entities of tiles to those of the image."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmentity.structures import EntityMap


class Parts(NamedTuple):
    """Entities of tiles, the parts of those of the image; N rows.

    Attributes:
        scores: float ``(N,)``, 0..1.
        labels: int64 ``(N,)``.
        areas: int64 ``(N,)``, pixels that their tile decides about; may be 0.
        boxes_xyxy_px: int64 ``(N, 4)``, tight around these pixels, in the image.
        tiles: int64 ``(N,)``, number of the tile.
    """

    scores: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    boxes_xyxy_px: np.ndarray
    tiles: np.ndarray

    @classmethod
    def concatenate(cls, tables: Sequence['Parts']) -> 'Parts':
        """Join tables of tiles, one below the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*tables)))


class Links(NamedTuple):
    """Parts that two tiles agree on.

    Attributes:
        pairs: int64 ``(M, 2)``.
        ious: float64 ``(M,)``, intersection over union of each pair in what the tiles share.
    """

    pairs: np.ndarray
    ious: np.ndarray


class Joined(NamedTuple):
    """Entities of an image, K rows, in the order of their first parts.

    Attributes:
        entity_of_part: int64 ``(N,)``, the row of the entity that each part belongs to,
            -1 for parts of entities without a pixel.
        scores: float64 ``(K,)``: mean of the parts, weighted by their areas.
        labels: int64 ``(K,)``: of the largest part.
        areas: int64 ``(K,)``, px, all positive.
        boxes_xyxy_px: int64 ``(K, 4)``.
    """

    entity_of_part: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    boxes_xyxy_px: np.ndarray


def same_entities(one: np.ndarray, other: np.ndarray, iou_thr: float) -> Links:
    """Find the entities that two maps of the same strip agree on.

    Args:
        one: Ids ``(h, w)`` of one tile, 0 = no entity.
        other: Those of the other tile.
        iou_thr: Lowest intersection over union inside of the strip, 0..1. Above 0.5 an
            entity has one partner at most.

    Returns:
        Pairs of ids.

    Examples:
        >>> same_entities(np.array([[1, 1, 2]]), np.array([[4, 4, 0]]), 0.5).pairs.tolist()
        [[1, 4]]
    """
    first, second = EntityMap(one), EntityMap(other)
    shared = first.intersections(second)
    union = first.areas[:, None] + second.areas[None] - shared
    pairs = np.argwhere((shared > 0) & (shared >= iou_thr * union))
    rows, columns = pairs.T
    return Links(pairs + 1, shared[rows, columns] / union[rows, columns])


def join_parts(parts: Parts, links: Links) -> Joined:
    """Make one entity of all parts that are linked, however far, the surest links first.

    Parts of one tile stay apart: that tile has seen that they are two, and of the tiles
    around one that errs would be enough to join them.

    Args:
        parts: N parts.
        links: Rows of parts that two tiles agree on.
    """
    # the first part of each entity, so that entities come in the order of their first parts
    firsts, groups = np.unique(_first_parts(parts.tiles, links), return_inverse=True)

    areas = np.bincount(groups, parts.areas, len(firsts)).astype(np.int64)
    weighted = np.bincount(groups, parts.areas * parts.scores.astype(np.float64), len(firsts))
    boxes = np.zeros((len(firsts), 4), dtype=np.int64)
    boxes[:, :2] = np.iinfo(np.int64).max
    seen = parts.areas > 0
    np.minimum.at(boxes[:, :2], groups[seen], parts.boxes_xyxy_px[seen, :2])
    np.maximum.at(boxes[:, 2:], groups[seen], parts.boxes_xyxy_px[seen, 2:])
    # the last one that is written is the largest
    by_area = np.argsort(parts.areas, kind='stable')
    labels = np.zeros(len(firsts), dtype=np.int64)
    labels[groups[by_area]] = parts.labels[by_area]

    kept = areas > 0
    rows = np.where(kept, np.cumsum(kept) - 1, -1)
    scores = weighted[kept] / areas[kept]
    return Joined(rows[groups], scores, labels[kept], areas[kept], boxes[kept])


def _first_parts(tiles: np.ndarray, links: Links) -> np.ndarray:
    """Union-find over the links; returns the first part that is one entity with each part."""
    roots = list(range(len(tiles)))
    seen_by = [{tile} for tile in tiles.tolist()]

    def find(part: int) -> int:
        while roots[part] != part:
            roots[part] = roots[roots[part]]
            part = roots[part]
        return part

    order = np.argsort(-links.ious, kind='stable')
    for one, other in links.pairs[order].tolist():
        first, second = sorted((find(one), find(other)))
        if first != second and seen_by[first].isdisjoint(seen_by[second]):
            roots[second] = first
            seen_by[first] |= seen_by[second]
    return np.array([find(part) for part in range(len(tiles))], dtype=np.int64)
