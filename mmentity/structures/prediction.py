"""What a model found in one image, as arrays."""

from typing import NamedTuple, Optional

import numpy as np


class Prediction(NamedTuple):
    """Entities of one image, in descending score; some may have no pixel.

    Attributes:
        ids: int32 ``(1, H0, W0)``, 0 = no entity, k = row k - 1.
        scores: float32 ``(Q,)``, 0..1.
        labels: int64 ``(Q,)``.
        boxes_xyxy_px: int64 ``(Q, 4)``, right and bottom exclusive, 0 where there is no pixel.
        areas: int64 ``(Q,)``, px.
        pooled: Pooled features where they were asked for, float32 ``(Q, C)``.
        query: Embeddings of the queries, likewise.
    """

    ids: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    boxes_xyxy_px: np.ndarray
    areas: np.ndarray
    pooled: Optional[np.ndarray] = None
    query: Optional[np.ndarray] = None
