"""Train a model of a config.

mmentity train cropformer_swin-t_3x --amp
torchrun --nproc_per_node 8 -m mmentity train cropformer_swin-t_3x --launcher pytorch --amp
"""

import argparse

from mmentity.cli.arguments import add_run_arguments
from mmentity.cli.runs import (
    build_runner,
    enable_lr_scaling,
    load_run_config,
    use_mixed_precision,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity train``."""
    add_run_arguments(parser)
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=['auto', 'float16', 'bfloat16'],
        help='train with automatic mixed precision; default type: float16 with loss scaling on a '
        'GPU, bfloat16 on a CPU',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from a checkpoint, or from the latest of the work directory',
    )


def run(args: argparse.Namespace) -> int:
    """Train."""
    config = load_run_config(args)
    if args.amp:
        use_mixed_precision(config, None if args.amp == 'auto' else args.amp)
    if args.auto_scale_lr:
        enable_lr_scaling(config)
    if args.resume:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    build_runner(config).train()
    return 0
