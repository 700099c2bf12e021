"""Options of ``mmentity predict`` for the formats of other tools."""

import argparse
from typing import Any


def add_format_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is of some formats only; what is not given is left to the preset."""
    group = parser.add_argument_group('files of other tools')
    group.add_argument(
        '--polygons',
        action='store_true',
        default=None,
        help='coco and labelme with polygons instead of masks',
    )
    group.add_argument(
        '--image-url',
        metavar='START',
        help='what addresses of images in labelstudio begin with; default: its local files',
    )


def format_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the values for :class:`mmentity.apis.export.OutputOptions`."""
    return {'polygons': args.polygons, 'image_url': args.image_url}
