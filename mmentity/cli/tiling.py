"""``mmentity predict --tile``: images that are cut into tiles."""

import argparse
import json
from pathlib import Path
from typing import Optional

from mmentity.apis import EntityInferencer
from mmentity.apis.export import OutputOptions
from mmentity.apis.export.existing import source_of
from mmentity.apis.export.file_names import check_files, files_of
from mmentity.apis.inputs import InputImage, ListOptions, iterate, list_inputs
from mmentity.apis.tiles import TiledPrediction, TileOptions
from mmentity.apis.tiles.map_files import TIFF_SUFFIXES, check_map_path
from mmentity.utils.files import printable
from mmentity.utils.logs import get_logger

# options of predict that a map which is written in parts does not have
NOT_OF_TILES = (
    'preset', 'format', 'resize', 'resize_first', 'max_side', 'split_components', 'split_gap',
    'draw', 'contact_sheet', 'frames', 'track', 'labels', 'cutout_background',
)  # fmt: skip
MAPS = ('tif', 'png')


def add_tile_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of views and tiles."""
    group = parser.add_argument_group('large images')
    group.add_argument(
        '--views',
        metavar='RxC',
        help='rows and columns of crops that CropFormer looks at closely; default: 2x2',
    )
    group.add_argument(
        '--view-overlap',
        type=float,
        metavar='PART',
        help='part of a crop that it shares with its neighbour; default: 0.571',
    )
    group.add_argument(
        '--tile',
        type=int,
        metavar='PX',
        help='cut images into tiles of this side, predict each as an image, and join their '
        'maps; goes on after a kill',
    )
    group.add_argument(
        '--tile-overlap',
        type=int,
        metavar='PX',
        help='fewest px that tiles share; default: an eighth of a tile',
    )
    group.add_argument(
        '--tile-iou',
        type=float,
        default=0.5,
        metavar='IOU',
        help='lowest IoU, in what two tiles share, of parts of one entity; default: 0.5',
    )
    group.add_argument(
        '--tile-map',
        choices=MAPS,
        help='file of the map; default: tif for TIFFs, png for others',
    )
    group.add_argument(
        '--keep-tiles', action='store_true', help='keep the files of the tiles, to join them anew'
    )


class TiledRun:
    """The images of a command, each cut into tiles.

    Raises:
        ValueError: If an option does not go with tiles, or an input is a video.
        FileNotFoundError: If there is no such input.
    """

    def __init__(
        self, args: argparse.Namespace, names: Optional[list[str]], outputs: OutputOptions
    ) -> None:
        given = [name for name in NOT_OF_TILES if getattr(args, name)]
        if given:
            options = ', '.join(f'--{name.replace("_", "-")}' for name in given)
            raise ValueError(f'{options} does not go with --tile, which writes a map and its table')
        if args.out is None:
            raise ValueError('--tile needs --out, a folder for the maps')
        overlap = args.tile // 8 if args.tile_overlap is None else args.tile_overlap
        self.options = TileOptions(
            args.tile, overlap, args.tile_iou, args.batch_size, args.workers, args.keep_tiles
        )
        self.args, self.outputs = args, outputs
        listing = ListOptions(args.recursive, root=args.root)
        listed = list_inputs(args.inputs if names is None else names, listing)
        videos = [source.path for source in listed if not isinstance(source, InputImage)]
        if videos:
            raise ValueError(f'{videos[0]} is a video, and --tile is for images')
        check_files(listed, outputs)
        self.images = list(iterate(listed, args.every, args.shard))
        for image in self.images:
            check_map_path(self._map_of(image))

    def __call__(self, inferencer: EntityInferencer) -> int:
        """Predict; returns the number of images that failed."""
        failed = 0
        for image in self.images:
            out, table = self._map_of(image), self._table_of(image)
            if self.args.skip_existing and _is_done(image, out, table):
                continue
            try:
                result = TiledPrediction(
                    str(image.path), out, self.options, self.outputs, table, image.name
                )(inferencer)
            except (FileNotFoundError, ValueError) as error:
                failed += 1
                reason = printable(str(error) or type(error).__name__)
                get_logger().warning(f'failed: {reason}')
                continue
            print(f'{out}: {len(result):,} entities')
        return failed

    def _map_of(self, image: InputImage) -> Path:
        is_tiff = str(image.path).lower().endswith(TIFF_SUFFIXES)
        suffix = self.args.tile_map or ('tif' if is_tiff else 'png')
        return Path(self.args.out, files_of(image, self.outputs)['idmap']).with_suffix(f'.{suffix}')

    def _table_of(self, image: InputImage) -> Path:
        return Path(self.args.out, files_of(image, self.outputs)['sidecar'])


def _is_done(image: InputImage, out: Path, table: Path) -> bool:
    """Whether map and table are there and of the very file."""
    try:
        record = json.loads(table.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return False
    return out.exists() and record.get('source') == source_of(image)
