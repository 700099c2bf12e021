"""Convert a checkpoint of mmentity into one that the official code reads."""

import argparse

from mmentity.checkpoints.publish import publish_detectron2
from mmentity.cli.launching import user_errors


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='checkpoint of a training run, or a converted one')
    parser.add_argument(
        'dst', help='.pth to write, or a folder; 8 digits of the sha256 are added to the name'
    )
    args = parser.parse_args()
    print('\n'.join(publish_detectron2(args.src, args.dst).lines()))


if __name__ == '__main__':
    with user_errors():
        main()
