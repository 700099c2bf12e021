"""Count parameters and multiply-adds of the networks of configs, for one image."""

import argparse

from mmdet.registry import MODELS
from mmdet.utils import register_all_modules

from mmentity.models.complexity import measure_complexity
from mmentity.utils.shipped_configs import get_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity flops``."""
    parser.add_argument('configs', nargs='+', help='paths, or names of shipped configs')
    parser.add_argument(
        '--shape', type=int, nargs=2, default=(800, 1344), metavar=('H', 'W'),
        help='size of each view, px, multiples of 32 (default: 800 1344, a padded 800x1333)',
    )  # fmt: skip
    parser.add_argument(
        '--views', type=int, help='views of the image (default: 5 for CropFormer, else 1)'
    )


def run(args: argparse.Namespace) -> int:
    """Count and print a line for each config."""
    height, width = args.shape
    register_all_modules(init_default_scope=True)
    for name in args.configs:
        model = MODELS.build(get_config(name).model)
        views = args.views or (5 if hasattr(model.panoptic_head, 'association') else 1)
        found = measure_complexity(model, height, width, views)
        print(
            f'{name}: {found.parameters:,} parameters, {found.flops / 1e9:,.4g} G multiply-adds '
            f'with {views} x {height} x {width} px',
            flush=True,
        )
    return 0
