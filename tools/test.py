"""Test a model of a config and print its figures."""

import argparse

from mmengine.runner import Runner

from mmentity.cli.launching import (
    add_common_arguments,
    prepare_config,
    user_errors,
    write_figures,
)
from mmentity.evaluation import DumpEntityResults


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='write predictions (RLE, scores, boxes) to this .pkl file')
    parser.add_argument('--show', action='store_true', help='show every picture in a window')
    parser.add_argument(
        '--show-dir',
        help='write picture, truth and prediction side by side into this folder '
        'of WORK_DIR/TIMESTAMP',
    )
    parser.add_argument('--wait-time', type=float, default=2, help='seconds a window stays')
    args = add_common_arguments(parser).parse_args()
    if args.out is not None and not args.out.endswith(('.pkl', '.pickle')):
        parser.error('--out must end in .pkl')
    return args


def main() -> None:
    """Test."""
    args = parse_args()
    config = prepare_config(args)
    config.load_from = args.checkpoint
    if args.show or args.show_dir:
        config.default_hooks.visualization.update(
            draw=True, show=args.show, wait_time=args.wait_time, test_out_dir=args.show_dir
        )
    runner = Runner.from_cfg(config)
    if args.out is not None:
        runner.test_evaluator.metrics.append(DumpEntityResults(args.out))
    write_figures(runner, runner.test(), args.checkpoint)


if __name__ == '__main__':
    with user_errors():
        main()
