"""What the command lines of training and testing share."""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmengine.utils import get_git_hash
from mmengine.utils.dl_utils import collect_env

from mmentity import __version__
from mmentity.converters import WeightsError
from mmentity.utils.files import whole_file


@contextmanager
def user_errors() -> Iterator[None]:
    """End the program with the sentence of a user's error, without a traceback."""
    try:
        yield
    except (OSError, WeightsError) as error:
        sys.exit(str(error))


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that overrides settings of a config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as key=value pairs',
    )


def add_common_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that mmdet's tools have for every run."""
    parser.add_argument('--work-dir', help='where logs, checkpoints and results go')
    add_config_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed run are started',
    )
    # torch.distributed.launch gives the rank by argument or by environment
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the tools have that look at the data of a config."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    add_config_options(parser)


def load_config(args: argparse.Namespace) -> Config:
    """Load a config and merge ``--cfg-options`` into it.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    if not Path(args.config).is_file():
        raise FileNotFoundError(
            f'config {args.config} does not exist; the shipped ones are in the folder configs'
        )
    config = Config.fromfile(args.config)
    if args.cfg_options is not None:
        config.merge_from_dict(args.cfg_options)
    return config


def prepare_config(args: argparse.Namespace) -> Config:
    """Load the config of a run and merge the command line into it.

    Args:
        args: Parsed command line with ``config`` and the common arguments.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    if 'LOCAL_RANK' not in os.environ:
        os.environ['LOCAL_RANK'] = str(args.local_rank)
    config = load_config(args)
    config.launcher = args.launcher
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        _join_cpu_processes(config)
    return config


def use_mixed_precision(config: Config) -> None:
    """Train with float16 and loss scaling on a GPU, with bfloat16 on a CPU."""
    if torch.cuda.is_available():
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.loss_scale = 'dynamic'
    else:
        config.optim_wrapper.type = 'mmentity.CpuAmpOptimWrapper'


def enable_lr_scaling(config: Config) -> None:
    """Scale the learning rate with the total batch size.

    Raises:
        ValueError: If the config does not say which batch size its rate is for.
    """
    if 'base_batch_size' not in config.get('auto_scale_lr', {}):
        raise ValueError(
            f'{config.filename} has no auto_scale_lr.base_batch_size, the batch size that its '
            'learning rate is for; add it or leave out --auto-scale-lr'
        )
    config.auto_scale_lr.enable = True


def _join_cpu_processes(config: Config) -> None:
    """Join processes without a GPU; mmengine's own way in asks for a CUDA device."""
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    config.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'device_ids': None,
        'broadcast_buffers': False,
    }


def write_figures(runner: Runner, figures: dict, checkpoint: str) -> None:
    """Write the figures of a test as ``figures.json``, with what made them.

    Args:
        runner: Runner of the test.
        figures: Figures by name; NaN becomes null.
        checkpoint: Tested checkpoint.
    """
    if not is_main_process():
        return
    environment = collect_env()
    record = {
        'figures': {
            name: None if math.isnan(value) else float(value) for name, value in figures.items()
        },
        'config': runner.cfg.filename,
        'checkpoint': str(checkpoint),
        'commit': get_git_hash(fallback='unknown'),
        'versions': {
            'mmentity': __version__,
            **{
                name: str(environment[name])
                for name in ('Python', 'PyTorch', 'TorchVision', 'OpenCV', 'MMEngine')
                if name in environment
            },
        },
    }
    path = Path(runner.work_dir) / 'figures.json'
    with whole_file(path) as partial:
        partial.write_text(json.dumps(record, indent=2))
    runner.logger.info(f'The figures and what made them are in {path}')
