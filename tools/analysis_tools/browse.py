"""Draw what the network really sees: views, flips, padding and targets of a config."""

import argparse
import sys
from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from PIL import Image

from mmentity.cli.launching import add_data_arguments, load_config
from mmentity.datasets import SampleError
from mmentity.utils.files import whole_file
from mmentity.visualization.inputs import draw_inputs


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    parser.add_argument('--out-dir', help='default: work_dirs/CONFIG/browse/SPLIT')
    parser.add_argument('--start', type=int, default=0, help='first sample')
    parser.add_argument('--number', type=int, default=8, help='samples to draw')
    parser.add_argument('--seed', type=int, default=0, help='of flips, sizes and crops')
    return parser.parse_args()


def browse(args: argparse.Namespace) -> int:
    """Draw the samples and return the exit code: 1 if one is unusable."""
    config = load_config(args)
    register_all_modules(init_default_scope=True)
    np.random.seed(args.seed)
    dataset = DATASETS.build(config[f'{args.split}_dataloader'].dataset)
    preprocessor = MODELS.build(config.model.data_preprocessor)
    out_dir = Path(args.out_dir or Path('work_dirs') / Path(args.config).stem / 'browse')
    out_dir = out_dir if args.out_dir else out_dir / args.split
    code = 0
    for index in range(args.start, min(args.start + args.number, len(dataset))):
        try:
            packed = dataset.prepare_data(index)
        except SampleError as error:
            print(f'sample {index}: {error}', file=sys.stderr)
            code = 1
            continue
        classes = dataset.metainfo['classes']
        sheet = draw_inputs(packed, preprocessor, args.split == 'train', classes)
        name = Path(packed['data_samples'].metainfo.get('img_path', 'sample')).stem
        path = out_dir / f'{index:06d}_{name}.png'
        with whole_file(path) as partial:
            Image.fromarray(sheet).save(partial)
        print(path)
    return code


def main() -> int:
    """Browse, or end with a sentence."""
    args = parse_args()
    try:
        return browse(args)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
