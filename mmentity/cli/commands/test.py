"""Test a checkpoint and write its metrics.

mmentity test cropformer_hornet-l_3x CropFormer_hornet_3x_03823a.pth --show-dir images
"""

import argparse

from mmentity.checkpoints.hub import weights_file
from mmentity.cli.arguments import add_run_arguments
from mmentity.cli.runs import (
    build_runner,
    load_run_config,
    use_boundary_metrics,
    use_test_time_augmentation,
    write_metrics,
)
from mmentity.evaluation import DumpEntityResults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity test``."""
    add_run_arguments(parser)
    parser.add_argument(
        'checkpoint',
        help="checkpoint, converted or of the official release; or official: the authors' for a "
        'shipped config are fetched (CC BY-NC 4.0, non-commercial use only)',
    )
    parser.add_argument('--out', help='write predictions (RLE, scores, boxes) to this .pkl file')
    parser.add_argument('--show', action='store_true', help='show every image in a window')
    parser.add_argument(
        '--show-dir',
        help='write image, ground truth and prediction side by side into this folder '
        'of WORK_DIR/TIMESTAMP',
    )
    parser.add_argument(
        '--tta', action='store_true',
        help='test on mirrored and resized copies of each image, those of tta_pipeline',
    )  # fmt: skip
    parser.add_argument(
        '--boundary', action='store_true',
        help='give boundary AP^e beside AP^e; of configs that score with EntityMetric',
    )  # fmt: skip
    parser.add_argument('--wait-time', type=float, default=2, help='seconds a window stays')


def run(args: argparse.Namespace) -> int:
    """Test."""
    if args.out is not None and not args.out.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--out must end in .pkl, not {args.out}')
    config = load_run_config(args)
    config.load_from = str(weights_file(args.checkpoint, config))
    if args.show or args.show_dir:
        config.default_hooks.visualization.update(
            draw=True, show=args.show, wait_time=args.wait_time, test_out_dir=args.show_dir
        )
    if args.tta:
        use_test_time_augmentation(config)
    if args.boundary:
        use_boundary_metrics(config)
    runner = build_runner(config)
    if args.out is not None:
        runner.test_evaluator.metrics.append(DumpEntityResults(args.out))
    write_metrics(runner, runner.test(), config.load_from)
    return 0
