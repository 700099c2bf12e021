"""Segment images, folders and videos into id maps, tables and overlays.

mmentity predict frames/ --model mask2former_hornet-l_3x
--weights Mask2Former_hornet_3x_576d0b.pth --out maps
"""

import argparse
import sys

from mmentity.apis import EntityInferencer
from mmentity.apis.export import FORMATS, PRESETS, OutputOptions, PredictionRun, RunOptions
from mmentity.apis.export.options import DRAWN, ID_DTYPES, IDS
from mmentity.apis.result import ORDERS
from mmentity.cli.arguments import add_config_options, add_model_arguments
from mmentity.cli.model_weights import weights_of
from mmentity.models.precision import DTYPES
from mmentity.utils.shipped_configs import get_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity predict``."""
    parser.add_argument('inputs', nargs='+', help='images, videos, folders or globs')
    parser.add_argument('--out', required=True, help='folder for the results')
    add_model_arguments(parser)
    add_config_options(parser)
    parser.add_argument(
        '--precision',
        choices=sorted(DTYPES),
        help='of the network; half precision is faster where the device has it, and changes a '
        'few pixels; default: test_cfg.precision, or fp32',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the network, which takes minutes at the first images',
    )
    _add_output_arguments(parser)
    parser.add_argument('--every', type=int, default=1, help='take every n-th image or frame')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--workers', type=int, default=2, help='threads that read and that write; default: 2'
    )
    parser.add_argument('--shard', type=_shard, default=(1, 1), metavar='i/n', help='part i of n')
    parser.add_argument(
        '--skip-existing', action='store_true', help='do only what is missing in --out'
    )


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is written; those not given are left to the preset."""
    parser.add_argument('--preset', choices=sorted(PRESETS), help='write what this project reads')
    parser.add_argument(
        '--format', type=_names, help=f'some of {",".join(FORMATS)}; default: idmap'
    )
    parser.add_argument('--score-thr', type=float, help='lowest score, 0 to 1; default: 0.5')
    parser.add_argument('--min-area', type=int, help='fewest pixels of an entity; default: 1')
    parser.add_argument('--order', choices=ORDERS, help='what ids count; default: score')
    parser.add_argument(
        '--reverse', action='store_true', default=None, help='count ids from the other end'
    )
    parser.add_argument(
        '--ids',
        choices=IDS,
        help='dense: number what is kept 1..K; rank: keep the place among all that was predicted',
    )
    parser.add_argument('--id-dtype', choices=ID_DTYPES, help='type of id maps; default: auto')
    parser.add_argument('--resize', type=_size, metavar='WxH', help='size of the results')
    parser.add_argument(
        '--resize-first',
        action='store_true',
        default=None,
        help='resize the image before the network sees it, not the map after',
    )
    parser.add_argument(
        '--draw', type=_names, help=f'what overlays show, some of {",".join(DRAWN)}'
    )
    parser.add_argument(
        '--contact-sheet',
        action='store_true',
        default=None,
        help='write index.html with all images; it opens without a server',
    )
    parser.add_argument('--sequence', help='sequence, for presets; default: from the folders')


def run(args: argparse.Namespace) -> int:
    """Predict; 1 if an image failed."""
    options = RunOptions(args.batch_size, args.workers, args.every, args.shard, args.skip_existing)
    prediction_run = PredictionRun(args.inputs, args.out, _output_options(args), options)
    config = get_config(args.model)
    config.merge_from_dict(args.cfg_options or {})
    weights = weights_of(args, config)
    inferencer = EntityInferencer(
        config, weights, args.device, precision=args.precision, compile=args.compile
    )
    manifest = prediction_run(inferencer, weights)
    failed = len(manifest.failures)
    print(f'{manifest.written} written, {manifest.skipped} skipped, {failed} failed')
    if failed:
        print(f'what failed, and why, is in {manifest.path}', file=sys.stderr)
    return 1 if failed else 0


def _output_options(args: argparse.Namespace) -> OutputOptions:
    outputs = PRESETS[args.preset] if args.preset else OutputOptions()
    formats = args.format
    if args.preset and formats:
        formats = tuple(dict.fromkeys((*outputs.formats, *formats)))
    return outputs.changed(
        formats=formats,
        score_thr=args.score_thr,
        min_area=args.min_area,
        order=args.order,
        reverse=args.reverse,
        ids=args.ids,
        id_dtype=args.id_dtype,
        size=args.resize,
        resize_first=args.resize_first,
        drawn=args.draw,
        sheet=args.contact_sheet,
        sequence=args.sequence,
    )


def _size(text: str) -> tuple[int, int]:
    """Read WxH as (height, width)."""
    width, _, height = text.lower().partition('x')
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f'{text!r} is no size; write it as 640x480')
    return int(height), int(width)


def _shard(text: str) -> tuple[int, int]:
    """Read i/n."""
    part, _, parts = text.partition('/')
    if not (part.isdigit() and parts.isdigit()):
        raise argparse.ArgumentTypeError(f'{text!r} is no shard; write the first of two as 1/2')
    return int(part), int(parts)


def _names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(',') if part.strip()))
