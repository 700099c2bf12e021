"""Make the demo data: drawn scenes in EntitySeg's layout, in about 20 seconds."""

import argparse

from mmentity.preparation.synthetic import DemoOptions, make_demo_data


def main() -> None:
    """Make the demo data, or reuse what is there."""
    defaults = DemoOptions()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('out', nargs='?', default='data/entityseg_demo', help='folder to make')
    parser.add_argument('--num-train', type=int, default=defaults.num_train)
    parser.add_argument('--num-val', type=int, default=defaults.num_val)
    parser.add_argument('--height', type=int, default=defaults.height, help='px')
    parser.add_argument('--width', type=int, default=defaults.width, help='px')
    parser.add_argument('--num-things', type=int, nargs=2, default=defaults.num_things)
    parser.add_argument('--seed', type=int, default=defaults.seed)
    options = vars(parser.parse_args())
    out = options.pop('out')
    options['num_things'] = tuple(options['num_things'])
    print(f'Demo data is in {make_demo_data(out, DemoOptions(**options))}')


if __name__ == '__main__':
    main()
