"""Make the demo data: drawn scenes in EntitySeg's layout, in about 20 seconds."""

import argparse

from mmentity.preparation.synthetic import DemoOptions, make_demo_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity make-demo-data``."""
    defaults = DemoOptions()
    parser.add_argument('out', nargs='?', default='data/entityseg_demo', help='folder to make')
    for name, help_text in (
        ('num_train', 'training images'),
        ('num_val', 'validation images'),
        ('height', 'px'),
        ('width', 'px'),
        ('seed', 'of the drawing'),
    ):
        default = getattr(defaults, name)
        option = f'--{name.replace("_", "-")}'
        parser.add_argument(option, type=int, default=default, help=f'{help_text} ({default})')
    parser.add_argument(
        '--num-things', type=int, nargs=2, default=defaults.num_things, help='fewest and most'
    )


def run(args: argparse.Namespace) -> int:
    """Make the demo data, or reuse what exists."""
    options = DemoOptions(
        num_train=args.num_train,
        num_val=args.num_val,
        height=args.height,
        width=args.width,
        num_things=tuple(args.num_things),
        seed=args.seed,
    )
    print(f'Demo data is in {make_demo_data(args.out, options)}')
    return 0
