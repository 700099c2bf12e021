"""Check EntitySeg and get it into shape: mim run mmentity entityseg ROOT SUBCOMMAND.

EntitySeg is for non-commercial use only; see its own licence.
"""

import argparse
import sys
from pathlib import Path

from mmentity.preparation.check import check_entityseg
from mmentity.preparation.derive import derive_annotations
from mmentity.preparation.download import default_items, download
from mmentity.preparation.fetching import FetchOptions
from mmentity.preparation.layout import TASK_FOLDERS
from mmentity.preparation.low_resolution import LowResolutionOptions, make_low_resolution
from mmentity.preparation.parallel import default_workers


def add_check(commands: argparse._SubParsersAction) -> None:
    """Add ``check``."""
    parser = commands.add_parser('check', help='check every file, entry and mask')
    parser.add_argument(
        '--tasks', nargs='+', choices=TASK_FOLDERS, default=list(TASK_FOLDERS), help='annotations'
    )
    parser.add_argument(
        '--max-unlabelled',
        type=float,
        default=0.5,
        help='report pictures with more than this share of pixels without an entity',
    )
    parser.add_argument('--examples', type=int, default=1, help='examples of each problem')
    parser.add_argument('--report', help='write all counts and problems to this json')
    parser.add_argument('--strict', action='store_true', help='let warnings fail too')
    add_workers(parser, default_workers())
    parser.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Check, print the tables and return the exit code."""
    report = check_entityseg(args.root, args.tasks, args.max_unlabelled, args.workers)
    print(report.tables(args.examples))
    if args.report:
        report.write(Path(args.report))
        print(f'All of it is in {args.report}')
    return report.exit_code(args.strict)


def add_make_lr(commands: argparse._SubParsersAction) -> None:
    """Add ``make-lr``."""
    defaults = LowResolutionOptions()
    parser = commands.add_parser('make-lr', help='make images_lr and the *_lr.json')
    parser.add_argument('--short-side', type=int, default=defaults.short_side, help='px')
    parser.add_argument('--long-side', type=int, default=defaults.long_side, help='at most, px')
    parser.add_argument('--quality', type=int, default=defaults.quality, help='of JPEG, 1..100')
    parser.add_argument('--overwrite', action='store_true', help='make again what is there')
    add_workers(parser, default_workers())
    parser.set_defaults(run=run_make_lr)


def run_make_lr(args: argparse.Namespace) -> int:
    """Make the low-resolution copy, tell what was made and return the exit code."""
    options = LowResolutionOptions(args.short_side, args.long_side, args.quality)
    report = make_low_resolution(args.root, options, args.overwrite, args.workers)
    print(f'{report.pictures} pictures made; annotation files: {len(report.files)}')
    print('\n'.join(report.files))
    if report.lost:
        print(f'{report.lost} entities are too small for a pixel at this size and are left out')
    print('\n'.join(report.faults), end='\n' if report.faults else '', file=sys.stderr)
    return int(bool(report.faults))


def add_derive(commands: argparse._SubParsersAction) -> None:
    """Add ``derive``."""
    parser = commands.add_parser(
        'derive', help='derive instance, semantic and panoptic annotations from the entity json'
    )
    parser.add_argument('--out', help='folder of annotations (default: ROOT/annotations)')
    parser.add_argument(
        '--low-resolution', action='store_true', help='from the *_lr.json, for images_lr'
    )
    parser.add_argument('--overwrite', action='store_true', help='make again what is there')
    add_workers(parser, default_workers())
    parser.set_defaults(run=run_derive)


def run_derive(args: argparse.Namespace) -> int:
    """Derive, tell what was made and return the exit code."""
    report = derive_annotations(
        args.root, args.out, args.low_resolution, args.overwrite, args.workers
    )
    print(f'annotations of {report.pictures} pictures derived')
    for path in report.files:
        print(path)
    for path in report.skipped:
        print(f'{path} is there, nothing of its split was made; --overwrite makes it again')
    print('\n'.join(report.faults), end='\n' if report.faults else '', file=sys.stderr)
    return int(bool(report.faults))


def add_download(commands: argparse._SubParsersAction) -> None:
    """Add ``download``."""
    defaults = FetchOptions()
    parser = commands.add_parser('download', help='fetch pictures, or the files of a list')
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        '--ann',
        nargs='+',
        default=[],
        help='annotation files with the addresses (default: the entity files of ROOT)',
    )
    source.add_argument('--list', help='text file of lines: ADDRESS NAME [BYTES or sha256:HEX]')
    parser.add_argument('--retries', type=int, default=defaults.retries)
    parser.add_argument('--timeout', type=float, default=defaults.timeout, help='s without a byte')
    parser.add_argument('--backoff', type=float, default=defaults.backoff, help='s, doubled')
    parser.add_argument('--report', help='default: ROOT/download_report.json')
    add_workers(parser, 16, 'files at a time')
    parser.set_defaults(run=run_download)


def run_download(args: argparse.Namespace) -> int:
    """Fetch what is missing, write the report and return the exit code."""
    items, failures = default_items(args.root, args.list, args.ann)
    options = FetchOptions(args.retries, args.timeout, backoff=args.backoff)
    report = download(args.root, items, options, args.workers)
    report.failures += failures
    path = Path(args.report or Path(args.root) / 'download_report.json')
    report.write(path)
    print(f'{report.fetched} files fetched, {report.there} were there')
    if report.failures:
        print(f'{len(report.failures)} files are missing:\n{report.table()}\nAll are in {path}')
    return int(bool(report.failures))


def add_workers(
    parser: argparse.ArgumentParser, default: int, what: str = 'processes (default: all cores)'
) -> None:
    """Add ``--workers``."""
    parser.add_argument('--workers', type=int, default=default, help=what)


def main() -> int:
    """Run one subcommand."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', help='folder that holds images/ and annotations/')
    commands = parser.add_subparsers(metavar='SUBCOMMAND', required=True)
    for add in (add_check, add_make_lr, add_derive, add_download):
        add(commands)
    args = parser.parse_args()
    try:
        return args.run(args)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
