"""Serve a page on which the entities of a picture can be looked at."""

import argparse

from mmentity.apis import EntityInferencer
from mmentity.apis.web import check_web_extra, serve
from mmentity.cli.arguments import add_model_arguments, one_sentence


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = add_model_arguments(argparse.ArgumentParser(description=__doc__))
    parser.add_argument(
        '--host', default='127.0.0.1', help='0.0.0.0 lets other machines in; default: %(default)s'
    )
    parser.add_argument('--port', type=int, default=7860, help='default: %(default)s')
    return parser.parse_args()


def main() -> None:
    """Serve."""
    args = parse_args()
    with one_sentence('web'):
        check_web_extra()
        inferencer = EntityInferencer(args.model, args.weights, args.device, show_progress=False)
        serve(inferencer, args.host, args.port)


if __name__ == '__main__':
    main()
