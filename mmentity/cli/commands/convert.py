"""Convert weights of the official release, of transformers, or a backbone of ImageNet.

The weights keep their licence: those of the release are CC BY-NC 4.0, for
non-commercial use only. --to detectron2 makes a checkpoint of mmentity into one
that the official code reads. A DST that ends in .safetensors gets that format, which
checkpoints of mmentity are converted to, and from, as well.
"""

import argparse
import sys

from mmentity.checkpoints.fit import MismatchError
from mmentity.checkpoints.publish import Published, publish_detectron2, publish_mmentity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity convert``."""
    parser.add_argument(
        'src',
        help='checkpoint: .pth with or without its wrapper, .pkl, .safetensors, or the folder of '
        'a Mask2Former of transformers',
    )
    parser.add_argument(
        'dst',
        help='.pth or .safetensors to write, or a folder; 8 digits of the sha256 are added to the '
        'name',
    )
    parser.add_argument('--to', choices=['mmentity', 'detectron2'], default='mmentity')
    parser.add_argument(
        '--config', help='config that the weights must fit; default: the shipped one that they fit'
    )
    parser.add_argument('--half', action='store_true', help='store float16, half the size')
    parser.add_argument(
        '--verbose', action='store_true', help='list every name: what it became, or why it went'
    )


def run(args: argparse.Namespace) -> int:
    """Convert."""
    published = _publish(args)
    if args.verbose:
        for name, ours in published.mapped.items():
            print(f'{name} -> {ours}')
        for name, reason in published.dropped.items():
            print(f'{name} dropped: {reason}')
    print('\n'.join(published.lines()))
    return 0


def _publish(args: argparse.Namespace) -> Published:
    if args.to == 'detectron2':
        if args.config or args.half:
            raise ValueError('--config and --half are for weights that become those of mmentity')
        return publish_detectron2(args.src, args.dst)
    try:
        return publish_mmentity(args.src, args.dst, args.config, args.half)
    except MismatchError as error:
        print('\n'.join(error.differences.lines()), file=sys.stderr)
        raise
