"""Serve a page on which the entities of a picture can be looked at."""

import argparse
import sys
import warnings

from mmentity.apis import EntityInferencer
from mmentity.apis.web import check_web_extra, serve


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--model',
        default='cropformer_hornet-l_3x',
        help='config, by name or path; default: %(default)s',
    )
    parser.add_argument(
        '--weights', required=True, help='checkpoint, converted or of the official release'
    )
    parser.add_argument('--device', help='such as cuda:0 or cpu; default: the best there is')
    parser.add_argument(
        '--host', default='127.0.0.1', help='0.0.0.0 lets other machines in; default: %(default)s'
    )
    parser.add_argument('--port', type=int, default=7860)
    return parser.parse_args()


def main() -> None:
    """Serve, with one sentence for what a user can mend."""
    args = parse_args()
    # of a library, and nothing that a user could mend
    warnings.filterwarnings('ignore', message='torch.meshgrid')
    try:
        check_web_extra()
        inferencer = EntityInferencer(args.model, args.weights, args.device, show_progress=False)
        serve(inferencer, args.host, args.port)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f'web: {error}')


if __name__ == '__main__':
    main()
