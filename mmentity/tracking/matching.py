"""Which entity of a frame is which one of the frame before, by the pixels that they share."""

from typing import NamedTuple

import numpy as np


class Overlaps(NamedTuple):
    """Overlaps of N entities of before with K of now.

    Attributes:
        shared: Pixels of each pair, int64 ``(N, K)``.
        before: Pixels of each one of before, int64 ``(N,)``.
        now: Pixels of each one of now, int64 ``(K,)``.
    """

    shared: np.ndarray
    before: np.ndarray
    now: np.ndarray

    @property
    def ious(self) -> np.ndarray:
        """Intersection over union of each pair, ``(N, K)``."""
        union = self.before[:, None] + self.now - self.shared
        return self.shared / np.maximum(union, 1)

    def shares(self, smallest: float) -> np.ndarray:
        """Shared part of the smaller one of each pair, ``(N, K)``.

        It is 0 where the smaller one is less than ``smallest`` of the larger.
        """
        low = np.minimum(self.before[:, None], self.now)
        high = np.maximum(self.before[:, None], self.now)
        return np.where(low >= smallest * high, self.shared / np.maximum(low, 1), 0)


def assign(values: np.ndarray) -> list[tuple[int, int]]:
    """Pair rows and columns so that the sum of their values is highest.

    Args:
        values: ``(N, K)``, at least 0; pairs of value 0 are none.
    """
    # only here, so that options can be read without SciPy
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(values, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns) if values[r, c] > 0]


def first_pixels(ids: np.ndarray, num_entities: int) -> np.ndarray:
    """Return the first pixel of each entity in reading order, int64 ``(K,)``; -1 for none."""
    flat = ids.ravel()
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)[: flat.size]
    first = np.full(num_entities + 1, -1)
    # of what is written to one place the last stays
    first[flat[starts[::-1]]] = starts[::-1]
    return first[1:]
