"""Train a model of a config."""

import argparse

from mmengine.runner import Runner

from mmentity.cli.launching import (
    add_common_arguments,
    enable_lr_scaling,
    prepare_config,
    use_mixed_precision,
    user_errors,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--amp', action='store_true', help='train with automatic mixed precision')
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
    return add_common_arguments(parser).parse_args()


def main() -> None:
    """Train."""
    args = parse_args()
    config = prepare_config(args)
    if args.amp:
        use_mixed_precision(config)
    if args.auto_scale_lr:
        enable_lr_scaling(config)
    if args.resume:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    Runner.from_cfg(config).train()


if __name__ == '__main__':
    with user_errors():
        main()
