"""What the command lines of prediction share."""

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def add_model_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that name a model."""
    parser.add_argument(
        '--model',
        default='cropformer_hornet-l_3x',
        help='config, by name or path; default: %(default)s',
    )
    parser.add_argument(
        '--weights', required=True, help='checkpoint, converted or of the official release'
    )
    parser.add_argument('--device', help='such as cuda:0 or cpu; default: the best there is')
    return parser


@contextmanager
def one_sentence(command: str) -> Iterator[None]:
    """End with one sentence on stderr where the body finds what a user can mend."""
    # of a library, and nothing that a user could mend
    warnings.filterwarnings('ignore', message='torch.meshgrid')
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f'{command}: {error}')
    except KeyboardInterrupt:
        sys.exit(130)
