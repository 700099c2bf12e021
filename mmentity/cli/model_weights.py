"""The weights that a command runs with: given, official, or offered."""

import argparse
import sys

from mmengine.config import Config

from mmentity.checkpoints.hub import BY_NAME, cached_file, weights_file
from mmentity.checkpoints.load import LICENCE
from mmentity.checkpoints.releases import Release, find_release


def weights_of(args: argparse.Namespace, config: Config) -> str:
    """Return the path of the weights of a command.

    Where none are given, the authors' are offered for a config that they released. Those that
    are in the cache are taken at once; their licence was shown when they were fetched.

    Args:
        args: Parsed command line with ``weights`` and ``yes``.
        config: Config of the model.

    Raises:
        ValueError: If none are given and the offer was not, or could not be, accepted.
        WeightsError: If they cannot be fetched.
    """
    if args.weights is not None:
        return str(weights_file(args.weights, config))
    release = find_release(config.filename)
    if release is None:
        raise ValueError(f'give the --weights of {config.filename}; the authors have none for it')
    if cached_file(release) is None and not args.yes and not _accepted(release):
        raise ValueError(
            'no weights: give --weights FILE, or --weights official for those of the authors '
            f'({LICENCE})'
        )
    return str(weights_file(BY_NAME, config))


def _accepted(release: Release) -> bool:
    """Ask on a terminal; elsewhere the answer is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(
        f'No weights are given. Fetch those of the authors, about {release.num_bytes / 1e9:.1f} '
        f'GB, from {release.page}?\nTheir licence is {LICENCE}. [y/N] '
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ('y', 'yes')
