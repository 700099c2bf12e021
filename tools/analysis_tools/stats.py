"""Count the entities, areas, sizes and classes of the data of a config."""

import argparse
import sys
from pathlib import Path

from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from terminaltables import AsciiTable

from mmentity.cli.launching import add_data_arguments, load_config
from mmentity.preparation.statistics import collect_statistics


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    parser.add_argument('--out-dir', help='default: work_dirs/CONFIG/stats/SPLIT')
    return parser.parse_args()


def count(args: argparse.Namespace) -> int:
    """Write json and plots, print a table and return the exit code."""
    config = load_config(args)
    register_all_modules(init_default_scope=True)
    dataset = DATASETS.build({**config[f'{args.split}_dataloader'].dataset, 'pipeline': []})
    statistics = collect_statistics(dataset)
    default = Path('work_dirs') / Path(args.config).stem / 'stats' / args.split
    paths = statistics.write(Path(args.out_dir) if args.out_dir else default)
    rows = [['', 'mean', 'min', '5 %', 'median', '95 %', 'max']]
    for name, value in statistics.summary().items():
        if isinstance(value, dict):
            rows.append([name, *(f'{number:.4g}' for number in value.values())])
        elif not isinstance(value, list):
            rows.append([name, value, '', '', '', '', ''])
    print(AsciiTable(rows).table)
    print('\n'.join(map(str, paths)))
    for fault in statistics.faults:
        print(fault, file=sys.stderr)
    return int(bool(statistics.faults))


def main() -> int:
    """Count, or end with a sentence."""
    args = parse_args()
    try:
        return count(args)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
