"""All finished tiles as one map: which parts are one entity, and the pixels in bands."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from mmentity.apis.tiles.stitching import Joined, Links, Parts, join_parts, same_entities
from mmentity.apis.tiles.store import TileStore

# rows that are written at a time, also the side of a block of a TIFF
BAND_ROWS = 512


class JoinedTiles:
    """The tiles of a store, joined.

    Args:
        store: Where all tiles are finished.
        iou_thr: Lowest intersection over union, inside of the strip that two tiles share,
            of parts that are one entity.

    Attributes:
        entities: The entities of the image.
    """

    def __init__(self, store: TileStore, iou_thr: float) -> None:
        self.store, self.grid = store, store.grid
        tables = [store.parts(tile) for tile in self.grid]
        self._starts = np.cumsum([0, *(len(table.scores) for table in tables)])
        self.entities: Joined = join_parts(Parts.concatenate(tables), self._links(iou_thr))

    def bands(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """Go through the map from its top, some rows at a time.

        Args:
            numbers: Unsigned ``(K,)``, the id of each entity, 0 for those left out.

        Yields:
            Ids ``(BAND_ROWS, W)``, fewer rows in the end, of the type of ``numbers``.
        """
        # parts without a pixel have the row -1
        of_rows = np.append(numbers, numbers.dtype.type(0))
        of_parts = of_rows[self.entities.entity_of_part]
        grid = self.grid
        # a band may reach into two rows of tiles
        core = lru_cache(2 * len(grid.columns))(self.store.core)
        for top in range(0, grid.height, BAND_ROWS):
            bottom = min(top + BAND_ROWS, grid.height)
            band = np.zeros((bottom - top, grid.width), dtype=numbers.dtype)
            for row, (start, stop) in enumerate(grid.core_rows):
                y0, y1 = max(top, start), min(bottom, stop)
                for column, (x0, x1) in enumerate(grid.core_columns if y0 < y1 else ()):
                    ids = core(grid.tile(row, column))[y0 - start : y1 - start]
                    table = np.append(numbers.dtype.type(0), of_parts[self._rows(row, column)])
                    band[y0 - top : y1 - top, x0:x1] = table[ids]
            yield band

    def _links(self, iou_thr: float) -> Links:
        """Find the parts of neighbouring tiles that are the same entity."""
        found = [Links(np.zeros((0, 2), dtype=np.int64), np.zeros(0))]
        for tile in self.grid:
            for side, opposite, step in (('right', 'left', (0, 1)), ('below', 'above', (1, 0))):
                if side not in self.grid.neighbours(tile):
                    continue
                other = self.grid.tile(tile.row + step[0], tile.column + step[1])
                strips = self.store.strip(tile, side), self.store.strip(other, opposite)
                starts = [self._rows(t.row, t.column).start - 1 for t in (tile, other)]
                links = same_entities(*strips, iou_thr)
                found.append(links._replace(pairs=links.pairs + starts))
        return Links(*(np.concatenate(columns) for columns in zip(*found)))

    def _rows(self, row: int, column: int) -> slice:
        """Rows of the parts of a tile."""
        number = row * len(self.grid.columns) + column
        return slice(int(self._starts[number]), int(self._starts[number + 1]))
