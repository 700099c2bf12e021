"""The options of ``mmentity predict``: what is read, what is written, and how."""

import argparse

from mmentity.apis.export import FORMATS, PRESETS, OutputOptions, Preset
from mmentity.apis.export.layout import FIELDS
from mmentity.apis.export.options import (
    CUTOUT_BACKGROUNDS,
    DRAWN,
    ID_DTYPES,
    IDS,
    read_names,
    read_size,
)
from mmentity.apis.result import ORDERS
from mmentity.cli.format_options import format_options
from mmentity.datasets.images import DEPTHS

# so that what a preset switches on can be switched off
YES_OR_NO = argparse.BooleanOptionalAction


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is read."""
    group = parser.add_argument_group('what is read')
    group.add_argument(
        '--list', metavar='FILE', help='file of names of inputs, one a line or with NUL between'
    )
    group.add_argument(
        '--recursive', action='store_true', help='take what is in folders of folders too'
    )
    group.add_argument(
        '--frames', action='store_true', help='take all frames of GIF, TIFF, WebP and the like'
    )
    group.add_argument(
        '--root', help='folder that output names are relative to; default: that of each input'
    )
    group.add_argument(
        '--every', type=int, default=1, help='take every n-th image of a folder, frame of a video'
    )
    group.add_argument('--depth', choices=DEPTHS, help='bits that 16-bit images use; default: auto')
    group.add_argument(
        '--max-pixels', type=int, help='largest image, in pixels; default: 178956970'
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is written; those not given are left to the preset."""
    group = parser.add_argument_group('what is written')
    group.add_argument(
        '--preset',
        metavar='NAME|FILE',
        help=f'write what a project reads: {", ".join(PRESETS)}, or a yaml file of your own; '
        'options that are given too win',
    )
    group.add_argument(
        '--format', type=read_names, help=f'some of {",".join(FORMATS)}; default: idmap'
    )
    group.add_argument(
        '--layout',
        metavar='PATTERN',
        help='where files of the first format go, below --out; fields: '
        + ' '.join(f'{{{field}}}' for field in FIELDS),
    )
    group.add_argument('--score-thr', type=float, help='lowest score, 0 to 1; default: 0.5')
    group.add_argument('--min-area', type=int, help='fewest pixels of an entity; default: 1')
    group.add_argument(
        '--split-components',
        action=YES_OR_NO,
        default=None,
        help='make an entity of each connected part of an entity, with its score',
    )
    group.add_argument(
        '--split-gap',
        type=float,
        metavar='SHARE',
        help='parts at most this share of height + width apart stay together, 0 to 1; default: 0',
    )
    group.add_argument('--order', choices=ORDERS, help='what ids count; default: score')
    group.add_argument(
        '--reverse', action=YES_OR_NO, default=None, help='count ids from the other end'
    )
    group.add_argument(
        '--ids',
        choices=IDS,
        help='dense: number what is kept 1..K; rank: keep the place among all that was predicted',
    )
    group.add_argument('--id-dtype', choices=ID_DTYPES, help='type of id maps; default: auto')
    group.add_argument('--resize', type=_size, metavar='WxH', help='size of the results')
    group.add_argument(
        '--resize-first',
        action=YES_OR_NO,
        default=None,
        help='resize the image before the network sees it, not the map after',
    )
    group.add_argument(
        '--max-side',
        type=int,
        metavar='PX',
        help='shrink longer images to this before the network, and resize the map back',
    )
    group.add_argument(
        '--draw', type=read_names, help=f'what overlays show, some of {",".join(DRAWN)}'
    )
    group.add_argument(
        '--cutout-background',
        choices=CUTOUT_BACKGROUNDS,
        help='transparent: as large as the box; the others make squares, ready for CLIP; '
        'default: transparent',
    )
    group.add_argument(
        '--cutout-pad', type=float, help='room around squares, share of the box; default: 0.1'
    )
    group.add_argument('--cutout-size', type=int, help='side of squares in px; default: 224')
    group.add_argument(
        '--contact-sheet',
        action='store_true',
        default=None,
        help='write index.html with all images; it opens without a server',
    )
    group.add_argument('--sequence', help='sequence, for presets; default: from the folders')


def output_options(args: argparse.Namespace, preset: Preset) -> OutputOptions:
    """Return the options of the preset, changed by those that are given."""
    formats = args.format
    if args.preset and formats:
        formats = tuple(dict.fromkeys((*preset.outputs.formats, *formats)))
    split_gap = args.split_gap
    if args.split_components is False and split_gap is None:
        split_gap = 0.0
    return preset.outputs.changed(
        formats=formats,
        score_thr=args.score_thr,
        min_area=args.min_area,
        split_components=args.split_components,
        split_gap=split_gap,
        order=args.order,
        reverse=args.reverse,
        ids=args.ids,
        id_dtype=args.id_dtype,
        size=args.resize,
        resize_first=args.resize_first,
        max_side=args.max_side,
        drawn=args.draw,
        cutout_background=args.cutout_background,
        cutout_pad=args.cutout_pad,
        cutout_size=args.cutout_size,
        sheet=args.contact_sheet,
        sequence=args.sequence,
        layout=args.layout,
        **format_options(args),
        # the pattern of the user places all files, not only those of the preset's
        beside='' if args.layout else None,
    )


def shard(text: str) -> tuple[int, int]:
    """Read i/n."""
    part, _, parts = text.partition('/')
    if not (part.isdigit() and parts.isdigit()):
        raise argparse.ArgumentTypeError(f'{text!r} is no shard; write the first of two as 1/2')
    return int(part), int(parts)


def _size(text: str) -> tuple[int, int]:
    """Read WxH as (height, width)."""
    try:
        return read_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
