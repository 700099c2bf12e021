"""Download the images of annotation files, or the files of a list.

EntitySeg is for non-commercial use only; see its own licence.
"""

import argparse
from pathlib import Path

from mmentity.preparation.download import Listing, download, items_of_annotations, items_of_list
from mmentity.preparation.fetching import FetchOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity download``."""
    defaults = FetchOptions()
    parser.add_argument('root', help='folder that holds images/ and annotations/')
    parser.add_argument('--workers', type=int, default=16, help='files at a time')
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


def run(args: argparse.Namespace) -> int:
    """Download what is missing and write the report; 1 if a file could not be had."""
    items, failures = (
        Listing(items_of_list(args.root, args.list), [])
        if args.list
        else items_of_annotations(args.root, args.ann)
    )
    options = FetchOptions(args.retries, args.timeout, backoff=args.backoff)
    report = download(args.root, items, options, args.workers)
    report.failures += failures
    path = Path(args.report or Path(args.root) / 'download_report.json')
    report.write(path)
    print(f'{report.fetched} files fetched, {report.there} were there')
    if report.failures:
        print(f'{len(report.failures)} files are missing:\n{report.table()}\nAll are in {path}')
    return 1 if report.failures else 0
