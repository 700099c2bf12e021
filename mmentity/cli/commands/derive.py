"""Derive EntitySeg's instance, semantic and panoptic annotations from those of entities."""

import argparse
import sys

from mmentity.cli.arguments import add_entityseg_arguments
from mmentity.preparation.derive import derive_annotations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity derive``."""
    add_entityseg_arguments(parser)
    parser.add_argument('--out', help='folder of annotations (default: ROOT/annotations)')
    parser.add_argument(
        '--low-resolution', action='store_true', help='from the *_lr.json, for images_lr'
    )
    parser.add_argument('--overwrite', action='store_true', help='make again what exists')


def run(args: argparse.Namespace) -> int:
    """Derive; 1 if an image failed."""
    report = derive_annotations(
        args.root, args.out, args.low_resolution, args.overwrite, args.workers
    )
    print(f'annotations of {report.images} images derived')
    for path in report.files:
        print(path)
    for path in report.skipped:
        print(f'{path} exists, nothing of its split was made; --overwrite makes it again')
    for fault in report.faults:
        print(fault, file=sys.stderr)
    return 1 if report.faults else 0
