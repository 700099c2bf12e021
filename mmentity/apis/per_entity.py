"""What each entity of a result has where it was asked for: features, a name."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class EntityFeatures:
    """Features of K entities.

    Attributes:
        pooled: Mean of the mask features of the pixel decoder over the pixels of the entity,
            each pixel the mean of the views that cover it, float32 ``(K, C)``. Of the map as
            the model made it: neither resizing nor splitting a result changes them.
        query: Embedding of the query that found the entity, from which its class and its mask
            are predicted, float32 ``(K, C)``.
    """

    pooled: np.ndarray
    query: np.ndarray

    def take(self, rows: np.ndarray) -> 'EntityFeatures':
        """Keep the given rows, int ``(N,)``, in their order."""
        return EntityFeatures(self.pooled[rows], self.query[rows])


@dataclass(frozen=True, eq=False)
class EntityNames:
    """Names of K entities, each the best of a list.

    Attributes:
        names: Text of each, ``(K,)``.
        scores: Its share among all names of the list, float32 ``(K,)``, 0..1.
    """

    names: np.ndarray
    scores: np.ndarray

    def take(self, rows: np.ndarray) -> 'EntityNames':
        """Keep the given rows, int ``(N,)``, in their order."""
        return EntityNames(self.names[rows], self.scores[rows])
