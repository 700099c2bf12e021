"""Check every file, entry and mask of EntitySeg."""

import argparse
from pathlib import Path

from mmentity.cli.arguments import add_entityseg_arguments
from mmentity.datasets.layout import TASK_FOLDERS
from mmentity.preparation.check import check_entityseg


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity check``."""
    add_entityseg_arguments(parser)
    parser.add_argument(
        '--tasks', nargs='+', choices=TASK_FOLDERS, default=list(TASK_FOLDERS), help='annotations'
    )
    parser.add_argument(
        '--max-unlabelled',
        type=float,
        default=0.5,
        help='report images with more than this share of pixels without an entity',
    )
    parser.add_argument('--examples', type=int, default=1, help='examples of each problem')
    parser.add_argument('--report', help='write all counts and problems to this json')
    parser.add_argument('--strict', action='store_true', help='let warnings fail too')


def run(args: argparse.Namespace) -> int:
    """Check and print the tables; 1 if there are problems."""
    report = check_entityseg(args.root, args.tasks, args.max_unlabelled, args.workers)
    print(report.tables(args.examples))
    if args.report:
        report.write(Path(args.report))
        print(f'The whole report is in {args.report}')
    return report.exit_code(args.strict)
