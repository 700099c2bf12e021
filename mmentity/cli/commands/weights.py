"""List, fetch or verify the authors' weights (CC BY-NC 4.0, non-commercial use only).

mmentity weights list
mmentity weights fetch cropformer_hornet-l_3x     # prints the path of the file
mmentity weights verify                           # those that were fetched
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.hub import cached_file, check, fetch, record_of, terms_of
from mmentity.checkpoints.load import LICENCE
from mmentity.checkpoints.releases import Release, release_of, releases


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity weights``."""
    parser.add_argument('action', choices=ACTIONS)
    parser.add_argument(
        'configs', nargs='*', metavar='CONFIG', help='names of shipped configs; default: all'
    )


def run(args: argparse.Namespace) -> int:
    """List, fetch or verify; 1 if a file is not what it was."""
    if args.action == 'fetch' and not args.configs:
        raise ValueError('fetch wants the name of a config; mmentity weights list has them')
    chosen = [release_of(name) for name in args.configs] or list(releases().values())
    return ACTIONS[args.action](chosen)


def _list(chosen: Sequence[Release]) -> int:
    """Print a line for each config; nothing is asked of the network."""
    width = max(len(release.config) for release in chosen)
    for release in chosen:
        record = record_of(release)
        num_bytes = record.num_bytes if record else release.num_bytes
        state = 'fetched' if cached_file(release) else '-'
        print(f'{release.config:{width}}  {num_bytes / 1e6:5.0f} MB  {state:7}  {release.page}')
    print(f'Licence of all: {LICENCE}')
    return 0


def _fetch(chosen: Sequence[Release]) -> int:
    """Fetch what is not here, and print the paths."""
    for release in chosen:
        print(terms_of(release), file=sys.stderr)
        print(fetch(release))
    return 0


def _verify(chosen: Sequence[Release]) -> int:
    """Compare fetched files with what was recorded at their first use."""
    code, paths = 0, set()
    for release in chosen:
        path, record = cached_file(release), record_of(release)
        if path is None or record is None or path in paths:
            continue
        paths.add(path)
        try:
            check(path, record)
        except WeightsError as error:
            print(f'{release.config}: {error}', file=sys.stderr)
            code = 1
        else:
            print(f'{release.config}: {path} has the recorded sha256 {record.sha256}')
    if not paths:
        print('none of them is here; mmentity weights fetch NAME fetches one')
    return code


ACTIONS: dict[str, Callable[[Sequence[Release]], int]] = {
    'list': _list,
    'fetch': _fetch,
    'verify': _verify,
}
