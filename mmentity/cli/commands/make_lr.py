"""Make EntitySeg's low-resolution images (images_lr) and annotations (*_lr.json)."""

import argparse
import sys

from mmentity.cli.arguments import add_entityseg_arguments
from mmentity.preparation.low_resolution import LowResolutionOptions, make_low_resolution


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity make-lr``."""
    add_entityseg_arguments(parser)
    defaults = LowResolutionOptions()
    parser.add_argument('--short-side', type=int, default=defaults.short_side, help='px')
    parser.add_argument('--long-side', type=int, default=defaults.long_side, help='at most, px')
    parser.add_argument('--quality', type=int, default=defaults.quality, help='of JPEG, 1..100')
    parser.add_argument('--overwrite', action='store_true', help='make again what exists')


def run(args: argparse.Namespace) -> int:
    """Make the low-resolution copy; 1 if an image failed."""
    options = LowResolutionOptions(args.short_side, args.long_side, args.quality)
    report = make_low_resolution(args.root, options, args.overwrite, args.workers)
    print(f'{report.images} images made; annotation files: {len(report.files)}')
    for path in report.files:
        print(path)
    if report.lost:
        print(f'{report.lost} entities are too small for a pixel at this size and were removed')
    for fault in report.faults:
        print(fault, file=sys.stderr)
    return 1 if report.faults else 0
