"""Draw what the network sees: views, flips, padding and targets of the data of a config."""

import argparse
import sys
from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from PIL import Image

from mmentity.cli.arguments import add_data_arguments
from mmentity.cli.runs import load_config, output_folder
from mmentity.datasets import SampleError
from mmentity.utils.files import whole_file
from mmentity.visualization.inputs import draw_inputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity browse``."""
    add_data_arguments(parser, 'browse')
    parser.add_argument('--start', type=int, default=0, help='first sample')
    parser.add_argument('--number', type=int, default=8, help='samples to draw')
    parser.add_argument('--seed', type=int, default=0, help='of flips, sizes and crops')


def run(args: argparse.Namespace) -> int:
    """Draw the samples; 1 if one is unusable."""
    config = load_config(args)
    register_all_modules(init_default_scope=True)
    np.random.seed(args.seed)
    dataset = DATASETS.build(config[f'{args.split}_dataloader'].dataset)
    preprocessor = MODELS.build(config.model.data_preprocessor)
    folder = output_folder(args, 'browse')
    exit_code = 0
    for index in range(args.start, min(args.start + args.number, len(dataset))):
        try:
            packed = dataset.prepare_data(index)
        except SampleError as error:
            print(f'sample {index}: {error}', file=sys.stderr)
            exit_code = 1
            continue
        classes = dataset.metainfo['classes']
        sheet = draw_inputs(packed, preprocessor, args.split == 'train', classes)
        name = Path(packed['data_samples'].metainfo.get('img_path', 'sample')).stem
        path = folder / f'{index:06d}_{name}.png'
        with whole_file(path) as partial:
            Image.fromarray(sheet).save(partial)
        print(path)
    return exit_code
