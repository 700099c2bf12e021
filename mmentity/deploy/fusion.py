"""From the logits of a graph to one map of entities, in NumPy.

The same result as that of :mod:`mmentity.models.fusion.entities`, in the same way: the logits of
the cells that a block of the image takes bound the probability of every mask in it, so that most
blocks have one candidate at most.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

import numpy as np

from mmentity.deploy.geometry import Band, Blocks, blocks_of
from mmentity.deploy.graph_info import GraphInfo
from mmentity.deploy.views import GraphInput
from mmentity.structures.entity_map import EntityMap
from mmentity.structures.prediction import Prediction

# what rounding can do to a probability, at most
ROUNDING = 1e-5


class Block(NamedTuple):
    """One block of the image.

    Attributes:
        place: Its pixels in the image.
        candidates: Queries that can own a pixel of it, in descending class score, int64 ``(N,)``.
        covering: Views that cover it, each with its number, rows and columns.
    """

    place: tuple[slice, slice]
    candidates: np.ndarray
    covering: list[tuple[int, Band, Band]]


def fuse_entities(
    cls_logits: np.ndarray, mask_logits: np.ndarray, given: GraphInput, info: GraphInfo
) -> Prediction:
    """Make the entities of one image.

    Args:
        cls_logits: float32 ``(Q, classes + 1)``.
        mask_logits: At stride 4 of the padded views, float32 ``(Q, V, h, w)``.
        given: What the graph was given.
        info: What the graph says about itself.
    """
    class_probs = softmax(cls_logits)[:, :-1]
    class_scores, labels = class_probs.max(axis=1), class_probs.argmax(axis=1)
    queries = np.argsort(-class_scores, kind='stable')[: info.max_per_image]
    class_scores, labels, mask_logits = class_scores[queries], labels[queries], mask_logits[queries]
    blocks = blocks_of(
        mask_logits.shape[2:], given.view_boxes, given.view_shapes, info.size, given.ori_shape
    )
    owners = np.zeros(given.ori_shape, np.int32)
    prob_sums = np.zeros(len(queries) + 1)
    for block in _contested(mask_logits, blocks, info.mask_thr):
        _settle(owners, prob_sums, block, mask_logits, info)
    fused = EntityMap(owners, len(queries))
    areas = fused.areas
    mask_scores = (prob_sums[1:] / (areas + 1e-6)).astype(np.float32)
    scores = class_scores * mask_scores
    order = np.argsort(-scores, kind='stable')
    numbers = np.empty(len(order), np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    return Prediction(
        fused.renumber(numbers),
        scores[order],
        labels[order],
        fused.boxes_xyxy_px[order],
        areas[order],
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits; far below 0 they underflow to 0."""
    with np.errstate(over='ignore'):
        return 1 / (1 + np.exp(-logits))


def _contested(mask_logits: np.ndarray, blocks: Blocks, mask_thr: float) -> Iterator[Block]:
    """Go through the blocks in which a query can own a pixel."""
    upper, lower, covered = _bounds(mask_logits, blocks)
    is_full = lower > mask_thr + ROUNDING
    # a query that fills a block leaves nothing to those after it
    is_taken = np.cumsum(is_full, axis=0) - is_full > 0
    is_candidate = (upper > mask_thr - ROUNDING) & ~is_taken
    ys, xs = blocks.rows.edges, blocks.columns.edges
    for i, j in np.argwhere(is_candidate.any(axis=0)).tolist():
        covering = []
        for view in np.flatnonzero(covered[:, i, j]).tolist():
            rows, columns = blocks.rows.bands[view][i], blocks.columns.bands[view][j]
            if rows is not None and columns is not None:
                covering.append((view, rows, columns))
        place = (slice(ys[i], ys[i + 1]), slice(xs[j], xs[j + 1]))
        yield Block(place, np.flatnonzero(is_candidate[:, i, j]), covering)


def _bounds(mask_logits: np.ndarray, blocks: Blocks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bound the probability of each mask in each block.

    Returns:
        Bounds above and below, float32 ``(Q, rows, columns)``, and which view covers which
        block, bool ``(V, rows, columns)``.
    """
    shape = (len(blocks.rows.edges) - 1, len(blocks.columns.edges) - 1)
    upper, lower = np.zeros((2, len(mask_logits), *shape), np.float32)
    covered = np.zeros((mask_logits.shape[1], *shape), bool)
    for view, (rows, columns) in enumerate(zip(blocks.rows.bands, blocks.columns.bands)):
        across = _inside(columns)
        for i, row in _inside(rows):
            taken = mask_logits[:, view, row.cells]
            most, least = taken.max(axis=1), taken.min(axis=1)
            for j, column in across:
                upper[:, i, j] += sigmoid(most[:, column.cells].max(axis=1))
                lower[:, i, j] += sigmoid(least[:, column.cells].min(axis=1))
                covered[view, i, j] = True
    count = covered.sum(axis=0, dtype=np.float32)
    return upper / count, lower / count, covered


def _inside(bands: Sequence[Optional[Band]]) -> list[tuple[int, Band]]:
    """Stretches inside of a view, with their numbers."""
    return [(number, band) for number, band in enumerate(bands) if band is not None]


def _settle(
    owners: np.ndarray,
    prob_sums: np.ndarray,
    block: Block,
    mask_logits: np.ndarray,
    info: GraphInfo,
) -> None:
    """Give each pixel of a block to the first candidate that claims it.

    Args:
        owners: Map of the image, int32, 0 = none, k = the k-th query; changed in place.
        prob_sums: Sums of probabilities by owner, float64; changed in place.
        block: The block.
        mask_logits: Masks of all queries.
        info: What the graph says about itself.
    """
    total = np.zeros((), np.float32)
    for view, rows, columns in block.covering:
        logits = mask_logits[block.candidates, view, rows.cells, columns.cells]
        total = total + sigmoid(rows.weights @ logits @ columns.weights.T)
    probs = total / np.float32(len(block.covering))
    is_claimed = probs > info.mask_thr
    first = is_claimed.argmax(axis=0)
    values = np.take_along_axis(probs, first[None], axis=0)[0]
    values = sigmoid(values) if info.sigmoid_twice else values
    owned = np.where(is_claimed.any(axis=0), block.candidates[first] + 1, 0)
    owners[block.place] = owned
    prob_sums += np.bincount(owned.ravel(), values.ravel(), len(prob_sums))
