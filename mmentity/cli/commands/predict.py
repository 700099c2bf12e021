"""Segment images, folders and videos into id maps, tables and overlays.

mmentity predict street.jpg       # a table, and a map and an overlay beside the image
mmentity predict frames/ --model mask2former_hornet-l_3x
--weights Mask2Former_hornet_3x_576d0b.pth --out maps
"""

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Optional

from PIL import Image

from mmentity.apis.export import (
    OneImage,
    Preset,
    RunOptions,
    read_preset,
    table_of,
)
from mmentity.apis.export.one_image import DRAWN as DRAWN_OF_ONE
from mmentity.apis.inputs import ListOptions
from mmentity.cli.arguments import add_config_options, add_model_arguments
from mmentity.cli.format_options import add_format_arguments
from mmentity.cli.naming_options import add_naming_arguments, read_naming, with_names
from mmentity.cli.predict_options import (
    add_input_arguments,
    add_output_arguments,
    output_options,
    shard,
)
from mmentity.cli.predictor import PRECISIONS, build_inferencer
from mmentity.cli.tiling import TiledRun, add_tile_arguments
from mmentity.cli.track_options import add_track_arguments, build_run
from mmentity.utils.logs import get_logger

# options that only a run over many images has
OF_RUNS = (
    'list',
    'recursive',
    'frames',
    'root',
    'preset',
    'format',
    'layout',
    'contact_sheet',
    'sequence',
    'polygons',
    'image_url',
    'skip_existing',
    'track',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity predict``."""
    parser.add_argument(
        'inputs', nargs='*', help='images, videos, folders or globs; - reads names from stdin'
    )
    parser.add_argument(
        '--out',
        help='folder for the results; without it one image gets a table on the screen, and its '
        'map and overlay beside it',
    )
    add_model_arguments(parser)
    # where it is not given, a preset may name one
    parser.set_defaults(model=None)
    add_config_options(parser)
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        help='of the network; half precision is faster where the device has it, and changes a '
        'few pixels; default: test_cfg.precision, or fp32',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the network, which takes minutes at the first images',
    )
    parser.add_argument(
        '--crops',
        type=int,
        metavar='N',
        help='crops that CropFormer sees beside the whole image, 0 to 4; default: 4',
    )
    add_input_arguments(parser)
    add_output_arguments(parser)
    add_format_arguments(parser)
    add_track_arguments(parser)
    add_tile_arguments(parser)
    add_naming_arguments(parser)
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--workers', type=int, default=2, help='threads that read and that write; default: 2'
    )
    parser.add_argument('--shard', type=shard, default=(1, 1), metavar='i/n', help='part i of n')
    parser.add_argument(
        '--skip-existing', action='store_true', help='do only what is missing in --out'
    )


def run(args: argparse.Namespace) -> int:
    """Predict; 1 if an image failed."""
    _allow_pixels(args.max_pixels)
    if args.tile is not None:
        tiled_run = TiledRun(args, _names_of_list(args), output_options(args, Preset()))
        return 1 if tiled_run(build_inferencer(args)[0]) else 0
    if args.out is None:
        return _predict_one(args)
    preset = read_preset(args.preset) if args.preset else Preset()
    args.model = args.model or preset.model
    args.crops = preset.crops if args.crops is None else args.crops
    options = RunOptions(args.batch_size, args.workers, args.every, args.shard, args.skip_existing)
    names = _names_of_list(args)
    listing = ListOptions(args.recursive, args.frames, args.root, keep_missing=names is not None)
    naming = read_naming(args)
    outputs = with_names(output_options(args, preset), args)
    prediction_run = build_run(
        args,
        args.inputs if names is None else names,
        outputs,
        options,
        listing,
    )
    get_logger().info(prediction_run.describe())
    inferencer, weights = build_inferencer(args, outputs.needs_features)
    namer = naming and naming.build(inferencer.device)
    manifest = prediction_run(inferencer, weights, namer)
    for line in manifest.lines():
        print(line)
    if manifest.failures:
        print(f'what failed, and why, is in {manifest.path}', file=sys.stderr)
    return 1 if manifest.failures else 0


def _predict_one(args: argparse.Namespace) -> int:
    """Print the table of one image, and write its map and overlay beside it."""
    if len(args.inputs) != 1:
        raise ValueError('give one image, or --out, a folder for the results of many')
    given = [name for name in OF_RUNS if getattr(args, name)]
    if given:
        options = ', '.join(f'--{name.replace("_", "-")}' for name in given)
        raise ValueError(f'{options} without --out; give --out, a folder for the results')
    outputs = output_options(args, Preset())
    naming = read_naming(args)
    outputs = outputs if args.draw else with_names(outputs.changed(drawn=DRAWN_OF_ONE), args)
    one_image = OneImage(args.inputs[0], outputs)
    inferencer = build_inferencer(args)[0]
    numbered, files = one_image(inferencer, naming and naming.build(inferencer.device))
    print(table_of(numbered))
    for file in files:
        print(file)
    return 0


def _names_of_list(args: argparse.Namespace) -> Optional[list[str]]:
    """Return the names in the file of ``--list`` or on stdin, None where neither is asked for."""
    if args.list is None and '-' not in args.inputs:
        return None
    if args.inputs not in ([], ['-']) or (args.list is not None and args.inputs):
        raise ValueError('name the inputs, or read them from - or --list FILE, not both')
    data = sys.stdin.buffer.read() if args.list is None else Path(args.list).read_bytes()
    separator = b'\0' if b'\0' in data else b'\n'
    names = [os.fsdecode(name.rstrip(b'\r')) for name in data.split(separator)]
    return [name for name in names if name.strip()]


def _allow_pixels(number: Optional[int]) -> None:
    """Set the largest image that Pillow opens, for this process."""
    # what is below the limit is no bomb to warn of
    warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)
    if number is not None and number < 1:
        raise ValueError(f'max-pixels is {number}; it must be at least 1')
    if number is not None:
        # Pillow refuses what has more than twice this
        Image.MAX_IMAGE_PIXELS = (number + 1) // 2
