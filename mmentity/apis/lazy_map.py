"""An entity map whose pixels are renumbered once, when they are asked for."""

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mmentity.structures import EntityMap


class LazyEntityMap:
    """An entity map as the model numbered it, and the entities of it that count.

    Row k of the tables that go with it is entity ``ids[k]`` of ``source``. Rows
    are filtered and reordered without touching a pixel.

    Args:
        source: Map in any numbering, one layer.
        ids: Entity of each row, int ``(K,)``, each at most once; by default
            all in their order.
    """

    def __init__(self, source: EntityMap, ids: Optional[np.ndarray] = None) -> None:
        if ids is None:
            ids = np.arange(1, source.num_entities + 1)
        self.source, self.ids = source, ids

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each row, int64 ``(K,)``."""
        return self.source.areas[self.ids - 1]

    @property
    def boxes_xyxy_px(self) -> np.ndarray:
        """Tight box of each row, int64 ``(K, 4)``, right and bottom exclusive."""
        return self.source.boxes_xyxy_px[self.ids - 1]

    def take(self, rows: np.ndarray) -> 'LazyEntityMap':
        """Keep the given rows, int ``(N,)``, in their order."""
        return LazyEntityMap(self.source, self.ids[rows])

    def resize(self, height: int, width: int) -> 'LazyEntityMap':
        """Resize by nearest neighbour; rows may lose all their pixels."""
        return LazyEntityMap(self.source.resize(height, width), self.ids)

    def mask(self, row: int, box_xyxy_px: Sequence[int]) -> np.ndarray:
        """Return the pixels of one row inside a box, bool ``(h, w)``."""
        return self.source.crop(box_xyxy_px).ids[0] == self.ids[row]

    def paint(self, values: np.ndarray) -> np.ndarray:
        """Write one value for each row into its pixels, 0 elsewhere.

        Args:
            values: Numbers ``(K,)``.

        Returns:
            ``(H, W)`` of the type of ``values``.
        """
        table = np.zeros(self.source.num_entities, dtype=values.dtype)
        table[self.ids - 1] = values
        return self.source.renumber(table)[0]

    def numbered(self) -> EntityMap:
        """Return the map in which row k is entity k + 1."""
        dense = np.arange(1, len(self.ids) + 1, dtype=np.int32)
        if self.source.num_entities == len(dense) and np.array_equal(self.ids, dense):
            return self.source
        return EntityMap(self.paint(dense), len(dense))
