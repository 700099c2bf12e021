"""Convert weights of the official release, or a backbone of ImageNet, for mmentity.

The weights keep their licence: those of the release are CC BY-NC 4.0, for
non-commercial use only.
"""

import argparse
import sys

from mmentity.checkpoints.fit import MismatchError
from mmentity.checkpoints.publish import publish_mmentity
from mmentity.cli.launching import user_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help='checkpoint: .pth with or without its wrapper, or .pkl')
    parser.add_argument(
        'dst', help='.pth to write, or a folder; 8 digits of the sha256 are added to the name'
    )
    parser.add_argument(
        '--config', help='config that the weights must fit; default: the shipped one that they fit'
    )
    parser.add_argument('--half', action='store_true', help='store float16, half the size')
    parser.add_argument(
        '--verbose', action='store_true', help='list every name: what it became, or why it went'
    )
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    try:
        published = publish_mmentity(args.src, args.dst, args.config, args.half)
    except MismatchError as error:
        print('\n'.join(error.differences.lines()), file=sys.stderr)
        raise
    if args.verbose:
        for name, ours in published.mapped.items():
            print(f'{name} -> {ours}')
        for name, reason in published.dropped.items():
            print(f'{name} dropped: {reason}')
    print('\n'.join(published.lines()))


if __name__ == '__main__':
    with user_errors():
        main()
