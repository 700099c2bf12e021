"""Convert COCO panoptic annotations to a COCO-Entity json for pretraining.

Every segment, thing or stuff, becomes one entity; crowd segments are skipped.
"""

import argparse
import sys

from mmentity.cli.arguments import add_workers
from mmentity.preparation.coco_entity import convert_coco_panoptic


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity coco2entity``."""
    parser.add_argument('ann_file', help='COCO panoptic json')
    parser.add_argument('seg_dir', help='folder of its PNGs')
    parser.add_argument('out', help='json to write')
    add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Convert; 1 if an image failed."""
    report = convert_coco_panoptic(args.ann_file, args.seg_dir, args.out, args.workers)
    print(
        f'{args.out}: {report.entities} entities of {report.images} images, '
        f'{report.crowds} crowd segments skipped'
    )
    for fault in report.faults:
        print(fault, file=sys.stderr)
    return 1 if report.faults else 0
