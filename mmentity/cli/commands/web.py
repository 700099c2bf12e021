"""Serve a page on which the entities of an image can be looked at."""

import argparse

from mmentity.apis import EntityInferencer
from mmentity.apis.inferencer import is_exported_file
from mmentity.apis.web import MAX_UPLOAD_MB, check_web_extra, serve
from mmentity.cli.arguments import add_model_arguments
from mmentity.cli.model_weights import weights_of
from mmentity.utils.shipped_configs import get_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity web``."""
    add_model_arguments(parser)
    parser.add_argument(
        '--host', default='127.0.0.1', help='0.0.0.0 lets other machines in; default: %(default)s'
    )
    parser.add_argument('--port', type=int, default=7860, help='default: %(default)s')
    parser.add_argument(
        '--max-upload-mb',
        type=float,
        default=MAX_UPLOAD_MB,
        help='largest image file that is taken; default: %(default)g',
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    check_web_extra()
    if is_exported_file(args.model):
        model, weights = args.model, args.weights
    else:
        model = get_config(args.model)
        weights = weights_of(args, model)
    inferencer = EntityInferencer(model, weights, args.device, show_progress=False)
    serve(inferencer, args.host, args.port, args.max_upload_mb)
    return 0
