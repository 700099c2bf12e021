"""Count the entities, areas, sizes and classes of the data of a config."""

import argparse
import sys

from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from terminaltables import AsciiTable

from mmentity.cli.arguments import add_data_arguments
from mmentity.cli.runs import load_config, output_folder
from mmentity.preparation.statistics import collect_statistics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity stats``."""
    add_data_arguments(parser, 'stats')


def run(args: argparse.Namespace) -> int:
    """Write json and plots and print a table; 1 if a sample is unusable."""
    config = load_config(args)
    register_all_modules(init_default_scope=True)
    dataset = DATASETS.build({**config[f'{args.split}_dataloader'].dataset, 'pipeline': []})
    statistics = collect_statistics(dataset)
    paths = statistics.write(output_folder(args, 'stats'))
    rows = [['', 'mean', 'min', '5 %', 'median', '95 %', 'max']]
    for name, value in statistics.summary().items():
        if isinstance(value, dict):
            rows.append([name, *(f'{number:.4g}' for number in value.values())])
        elif not isinstance(value, list):
            rows.append([name, value, '', '', '', '', ''])
    print(AsciiTable(rows).table)
    for path in paths:
        print(path)
    for fault in statistics.faults:
        print(fault, file=sys.stderr)
    return 1 if statistics.faults else 0
