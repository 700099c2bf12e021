"""Finished tiles on disk, from which the map of the image is joined and a run goes on."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmentity.apis.result import EntityResult
from mmentity.apis.tiles.grid import Tile, TileGrid
from mmentity.apis.tiles.stitching import Parts
from mmentity.structures import EntityMap
from mmentity.utils.files import is_partial, whole_file, write_json

RECORD = 'run.json'


class TileStore:
    """Entities of the finished tiles of one image, a file each.

    A file holds the ids in the core of its tile and in the strips that it shares with each
    neighbour, apart from each other, so that joining reads strips only and writing cores
    only.

    Args:
        folder: Where the files are.
        grid: The tiles.

    Attributes:
        folder: Where the files are.
        grid: The tiles.
    """

    def __init__(self, folder: Path, grid: TileGrid) -> None:
        self.folder, self.grid = folder, grid

    def begin(self, identity: Mapping[str, Any]) -> int:
        """Take up the tiles of an earlier run, or begin; returns how many are there.

        Args:
            identity: What decides about tiles, JSON values.

        Raises:
            ValueError: If the folder holds tiles that something else decided about.
        """
        record = self.folder / RECORD
        identity = json.loads(json.dumps(identity))
        if record.is_file():
            before = json.loads(record.read_text(encoding='utf-8'))
            different = [key for key, value in identity.items() if before.get(key) != value]
            if different:
                raise ValueError(
                    f'the tiles in {self.folder} are of another {", ".join(different)}; remove '
                    'that folder to begin anew, or give the map another name'
                )
        elif self.folder.exists() and any(not is_partial(path) for path in self.folder.iterdir()):
            raise ValueError(
                f'{self.folder} exists and holds no tiles; remove it or give the map another name'
            )
        else:
            write_json(record, identity, indent=1)
        for path in self.folder.iterdir():
            if is_partial(path):
                path.unlink(missing_ok=True)
        return sum(self.has(tile) for tile in self.grid)

    def has(self, tile: Tile) -> bool:
        """Whether a tile is finished."""
        # a machine that stops may leave a file that has its name and not all of its bytes
        return zipfile.is_zipfile(self._path(tile))

    def save(self, tile: Tile, result: EntityResult) -> None:
        """Write the entities of one tile, whole or not at all.

        Raises:
            OSError: If the disk is full.
        """
        ids = result.entity_map
        ids = ids.astype(np.min_scalar_type(len(result)))
        core = ids[tile.crop_of(tile.core)]
        of_core = EntityMap(core, len(result))
        corner = np.tile(tile.core[:2], 2)
        strips = {side: ids[tile.crop_of(box)] for side, box in self.grid.neighbours(tile).items()}
        arrays: dict[str, Any] = {
            'core': core,
            'scores': result.scores,
            'labels': result.labels,
            'areas': of_core.areas,
            'boxes': of_core.boxes_xyxy_px + corner,
            **strips,
        }
        with whole_file(self._path(tile)) as partial, partial.open('wb') as file:
            np.savez_compressed(file, **arrays)

    def parts(self, tile: Tile) -> Parts:
        """Read the table of a tile."""
        with np.load(self._path(tile)) as file:
            columns = (file['scores'], file['labels'], file['areas'], file['boxes'])
        number = tile.row * len(self.grid.columns) + tile.column
        return Parts(*columns, np.full(len(columns[0]), number))

    def strip(self, tile: Tile, side: str) -> np.ndarray:
        """Read the ids in the strip that a tile shares on a side, unsigned ``(h, w)``."""
        return self._array(tile, side)

    def core(self, tile: Tile) -> np.ndarray:
        """Read the ids in the core of a tile, unsigned ``(h, w)``."""
        return self._array(tile, 'core')

    def remove(self) -> None:
        """Remove the files of all tiles."""
        shutil.rmtree(self.folder)

    def _array(self, tile: Tile, name: str) -> np.ndarray:
        with np.load(self._path(tile)) as file:
            return file[name]

    def _path(self, tile: Tile) -> Path:
        return self.folder / f'{tile.row}-{tile.column}.npz'
