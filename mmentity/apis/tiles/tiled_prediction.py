"""One image of any size: predicted tile by tile, and joined into one map."""

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from mmentity.apis.export.existing import source_of
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.inferencer import EntityInferencer, LoadOptions
from mmentity.apis.inputs import InputImage
from mmentity.apis.result import order_rows
from mmentity.apis.tiles.grid import Tile, TileGrid
from mmentity.apis.tiles.joining import JoinedTiles
from mmentity.apis.tiles.map_files import check_map_path, dtype_of_ids, write_map
from mmentity.apis.tiles.store import TileStore
from mmentity.apis.tiles.windows import Windows, open_windows
from mmentity.utils.files import printable, write_json
from mmentity.utils.logs import get_logger
from mmentity.utils.progress import show_progress


@dataclass(frozen=True)
class TileOptions:
    """How an image is cut and its tiles are joined.

    Attributes:
        size: Side of a tile in px. The network sees it as it sees an image, resized to its
            short side: the smaller the tile, the finer the details, and the longer it takes.
        overlap: Fewest px that neighbours share, 1 to half a tile. The wider, the more of
            an entity two tiles can agree on.
        iou_thr: Lowest intersection over union, inside of what two tiles share, of the parts
            that become one entity, above 0 to 1.
        batch_size: Tiles that go through the network together.
        workers: Threads that prepare tiles; 0 prepares while the network waits.
        keep: Whether the files of the tiles stay when the map is written, so that it can be
            joined again with other thresholds.

    Raises:
        ValueError: If a value is out of range.
    """

    size: int = 2048
    overlap: int = 256
    iou_thr: float = 0.5
    batch_size: int = 1
    workers: int = 2
    keep: bool = False

    def __post_init__(self) -> None:
        # the largest image has no tile that is cut
        TileGrid(1, 1, self.size, self.overlap)
        if not 0 < self.iou_thr <= 1:
            raise ValueError(f'the IoU of parts is {self.iou_thr}; it must be above 0, at most 1')
        if self.batch_size < 1 or self.workers < 0:
            raise ValueError(
                f'batch_size is {self.batch_size} and workers is {self.workers}; they must be at '
                'least 1 and 0'
            )


class TiledResult(NamedTuple):
    """The entities of an image whose map is on disk.

    Attributes:
        path: The map; 0 = no entity.
        height: Height in px.
        width: Width in px.
        ids: int64 ``(K,)``, ascending.
        scores: float64 ``(K,)``, 0..1, mean over the pixels of an entity of those of its parts.
        labels: int64 ``(K,)``.
        boxes_xyxy_px: int64 ``(K, 4)``, right and bottom exclusive.
        areas: int64 ``(K,)``, px.
    """

    path: Path
    height: int
    width: int
    ids: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    boxes_xyxy_px: np.ndarray
    areas: np.ndarray

    def __len__(self) -> int:
        """Return the number of entities."""
        return len(self.ids)

    def records(self) -> list[dict[str, Any]]:
        """Return a dict of plain numbers for each entity, as those of other results."""
        columns = (self.ids, self.scores, self.labels, self.boxes_xyxy_px, self.areas)
        return [
            {
                'id': int(k),
                'score': round(float(score), 6),
                'label': int(label),
                'box_xyxy': box.tolist(),
                'area': int(area),
            }
            for k, score, label, box, area in zip(*columns)
        ]


class TiledPrediction:
    """Predict an image of any size tile by tile, and write one map of its entities.

    Each tile is predicted as an image of its own, with its crops. Parts of two tiles become
    one entity where they agree in the strip that the tiles share; so an entity may span any
    number of tiles. A finished tile is a file in ``{out}.tiles/`` until the map is written:
    after a kill the same call goes on, and the map has the same bytes.

    Args:
        image: Path, or array (uint8 grey, BGR or BGRA), which may be mapped from a file.
        out: The map: ``.tif`` (in blocks, compressed; needs the extra ``tiles``; a GeoTIFF where
            the image is one) or ``.png`` (at most 65,535 entities).
        options: How it is cut and joined.
        outputs: What is kept (``score_thr``, ``min_area``, of whole entities) and how it is
            numbered (``order``, ``reverse``, ``ids``, ``id_dtype``, which is uint32 from
            65,536 ids on); formats, sizes and places do not count.
        table: File of the table of entities; by default the name of the map with ``.json``.
        name: Name of the image in the table; by default that of its file without suffix.

    Raises:
        ValueError: If the name of the map ends in nothing of these.
        ImportError: If it is a TIFF and the extra is not installed.

    Examples:
        >>> inferencer = EntityInferencer('cropformer_hornet-l_3x', 'official')
        >>> result = TiledPrediction('town.tif', 'maps/town.tif', TileOptions(1024))(inferencer)
        >>> len(result), result.areas.max()
    """

    def __init__(
        self,
        image: Union[str, Path, np.ndarray],
        out: Union[str, Path],
        options: TileOptions = TileOptions(),  # noqa: B008
        outputs: OutputOptions = OutputOptions(),  # noqa: B008
        table: Optional[Union[str, Path]] = None,
        name: str = '',
    ) -> None:
        self.image, self.out = image, Path(out)
        check_map_path(self.out)
        self.options, self.outputs = options, outputs
        self.table = self.out.with_suffix('.json') if table is None else Path(table)
        is_file = not isinstance(image, np.ndarray)
        self.name = name or (Path(image).stem if is_file else self.out.stem)  # type: ignore[arg-type]
        self.source = source_of(InputImage(self.name, os.fspath(image))) if is_file else None  # type: ignore[arg-type]

    def __call__(self, inferencer: EntityInferencer) -> TiledResult:
        """Predict what is missing, join and write.

        Raises:
            FileNotFoundError: If there is no such image.
            SampleError: If the image is damaged or does not fit into the memory; finished
                tiles stay.
            ValueError: If there are tiles of another image, model or grid under this name, or
                the ids do not fit into the map; tiles stay.
            OSError: If files cannot be written.
        """

        def decode(path: str) -> np.ndarray:
            return inferencer.read(InputImage(self.name, path))

        depth, size = inferencer.backend.depth, self.options.size
        with open_windows(self.image, decode, size, depth) as windows:
            grid = TileGrid(windows.height, windows.width, self.options.size, self.options.overlap)
            store = TileStore(self.out.with_name(f'{self.out.name}.tiles'), grid)
            self._describe(grid, store.begin(self._identity(inferencer, grid)))
            self._predict(inferencer, windows, store)
            georeference = windows.georeference
        result = self._write(JoinedTiles(store, self.options.iou_thr), georeference)
        if not self.options.keep:
            store.remove()
        return result

    def _describe(self, grid: TileGrid, finished: int) -> None:
        if len(grid) == 1:
            text = 'which is no larger than a tile, as a whole'
        else:
            text = f'{len(grid):,} tiles ({len(grid.rows)} rows of {len(grid.columns)})'
        more = f'; {finished:,} are there already' if finished else ''
        get_logger().info(
            f'{printable(self.name)} of {grid.height} x {grid.width} px: {text}{more}'
        )

    def _predict(self, inferencer: EntityInferencer, windows: Windows, store: TileStore) -> None:
        missing = [tile for tile in store.grid if not store.has(tile)]
        images = (self._tile_image(windows, tile) for tile in missing)
        load_options = LoadOptions(self.options.batch_size, self.options.workers)
        outcomes = zip(missing, inferencer.outcomes(images, load_options))
        if inferencer.show_progress and missing:
            outcomes = show_progress(outcomes, len(missing), 'tiles')  # type: ignore[assignment]
        for tile, (_, result) in outcomes:
            if isinstance(result, Exception):
                raise result
            store.save(tile, result)

    def _tile_image(self, windows: Windows, tile: Tile) -> InputImage:
        name = f'the tile {tile.box} of {self.name}'
        return InputImage(name, content=windows.read(tile.box))

    def _write(self, joined: JoinedTiles, georeference: dict[str, Any]) -> TiledResult:
        entities, outputs, grid = joined.entities, self.outputs, joined.grid
        columns = (entities.scores, entities.areas, entities.boxes_xyxy_px)
        rows = order_rows(outputs.order, *columns, outputs.reverse)
        keep = (entities.scores >= outputs.score_thr) & (entities.areas >= outputs.min_area)
        ids = np.flatnonzero(keep[rows]) + 1
        rows = rows[keep[rows]]
        if outputs.ids == 'dense':
            ids = np.arange(1, len(rows) + 1)
        dtype = dtype_of_ids(int(ids.max(initial=0)), self.out, outputs.id_dtype)
        numbers = np.zeros(len(keep), dtype=dtype)
        numbers[rows] = ids
        result = TiledResult(
            self.out,
            grid.height,
            grid.width,
            ids,
            entities.scores[rows],
            entities.labels[rows],
            entities.boxes_xyxy_px[rows],
            entities.areas[rows],
        )
        # the table of an earlier run says that its map is complete
        self.table.unlink(missing_ok=True)
        write_map(self.out, joined.bands(numbers), (grid.height, grid.width), dtype, georeference)
        write_json(self.table, self._record(result), indent=1)
        return result

    def _record(self, result: TiledResult) -> dict[str, Any]:
        """Say what the map holds, as the tables beside other maps do."""
        size, overlap, iou_thr = self.options.size, self.options.overlap, self.options.iou_thr
        return {
            'name': self.name,
            'width': result.width,
            'height': result.height,
            'entities': result.records(),
            'source': self.source,
            'tiles': {'size': size, 'overlap': overlap, 'iou_thr': iou_thr},
            'files': {'idmap': os.path.relpath(self.out, self.table.parent)},
        }

    def _identity(self, inferencer: EntityInferencer, grid: TileGrid) -> dict[str, Any]:
        """Tell what decides about the entities of a tile."""
        source = self.source
        if source is None:
            content = np.ascontiguousarray(self.image).data
            source = {'sha256': hashlib.sha256(content).hexdigest()}
        return {
            'image': source,
            'grid': asdict(grid),
            'model': [inferencer.origin['config_sha256'], inferencer.backend.weights_digest()],
            'precision': inferencer.precision,
        }
