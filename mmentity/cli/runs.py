"""From the command line to a runner, and from a test to its metrics as a file."""

import argparse
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Optional, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils import get_git_hash
from mmengine.utils.dl_utils import collect_env

from mmentity.utils.files import whole_file
from mmentity.utils.shipped_configs import get_config
from mmentity.version import __version__


def load_config(args: argparse.Namespace) -> Config:
    """Load the config of a command and merge ``--cfg-options`` into it.

    Args:
        args: Parsed command line with ``config`` and ``cfg_options``.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is no Python.
    """
    try:
        config = get_config(args.config)
    except SyntaxError as error:
        raise ValueError(f'config {args.config} cannot be read: {error}') from error
    config.merge_from_dict(args.cfg_options or {})
    return config


def output_folder(args: argparse.Namespace, command: str) -> Path:
    """Say where a command that looks at the data of a config writes."""
    default = Path('work_dirs') / Path(args.config).stem / command / args.split
    return Path(args.out_dir) if args.out_dir else default


def load_run_config(args: argparse.Namespace) -> Config:
    """Load the config of a run and merge the command line into it.

    Args:
        args: Parsed command line with the arguments of every run.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = load_config(args)
    config.launcher = args.launcher
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        _join_cpu_processes(config)
    return config


def build_runner(config: Config) -> Runner:
    """Build the runner of a config, as mmdet's tools do.

    ``FSDPStrategy`` becomes one that can be resumed, and plain clipping of gradients that of the
    whole model with it.

    Raises:
        ValueError: If a training of parts is to be resumed on CPUs.
    """
    is_sharded = _is_sharded(config)
    if is_sharded:
        if config.get('resume') and not torch.cuda.is_available():
            raise ValueError(
                'under FSDPStrategy a training cannot be resumed on CPUs, where PyTorch gathers '
                'the state of an optimizer wrongly; resume on GPUs, or begin with its weights by '
                '--cfg-options load_from=CHECKPOINT'
            )
        config.strategy.type = 'mmentity.ShardedStrategy'
    if is_sharded and config.get('optim_wrapper', {}).get('clip_grad'):
        if config.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper':
            config.optim_wrapper.type = 'mmentity.ShardedOptimWrapper'
        else:
            MMLogger.get_current_instance().warning(
                f'{config.optim_wrapper.type} clips the gradients of each process by themselves '
                'under FSDPStrategy; use OptimWrapper'
            )
    return RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)


def use_mixed_precision(config: Config, dtype: Optional[str] = None) -> None:
    """Train with automatic mixed precision.

    Args:
        config: Config of a training; changed in place.
        dtype: ``'float16'``, which comes with loss scaling and needs a GPU, or
            ``'bfloat16'``. Defaults to float16 on a GPU and bfloat16 on a CPU.

    Raises:
        ValueError: If float16 is asked for without a GPU.
    """
    on_gpu = torch.cuda.is_available()
    if dtype is None:
        dtype = 'float16' if on_gpu else 'bfloat16'
    if dtype == 'bfloat16':
        config.optim_wrapper.type = 'mmentity.BFloat16OptimWrapper'
    elif on_gpu:
        config.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype=dtype)
    else:
        raise ValueError('--amp float16 needs a GPU; use --amp bfloat16')


def use_test_time_augmentation(config: Config) -> None:
    """Test with ``tta_model`` and ``tta_pipeline``, as mmdet's tools do.

    Raises:
        ValueError: If the config has not both.
    """
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in config]
    if missing:
        raise ValueError(
            f'{config.filename} has no {" and no ".join(missing)}; configs/_base_/datasets have '
            'them, and docs/configs.md says how to write them'
        )
    config.model = ConfigDict(**config.tta_model, module=config.model)
    dataset = config.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.pipeline = config.tta_pipeline


def use_boundary_metrics(config: Config) -> None:
    """Let every ``EntityMetric`` of the test give boundary AP too.

    Raises:
        ValueError: If the config tests with no ``EntityMetric``, as of the class-aware tasks.
    """
    evaluator = config.test_evaluator
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    of_entities = [row for row in metrics if row['type'].split('.')[-1] == 'EntityMetric']
    if not of_entities:
        names = ', '.join(row['type'] for row in metrics)
        raise ValueError(
            f'{config.filename} tests with {names}, and boundary AP is a metric of entities '
            "without classes; omit --boundary, or put dict(type='mmentity.EntityMetric') into "
            'test_evaluator'
        )
    for row in of_entities:
        row['boundary'] = True


def enable_lr_scaling(config: Config) -> None:
    """Scale the learning rate with the total batch size.

    Raises:
        ValueError: If the config does not say which batch size its rate is for.
    """
    if 'base_batch_size' not in config.get('auto_scale_lr', {}):
        raise ValueError(
            f'{config.filename} has no auto_scale_lr.base_batch_size, the batch size that its '
            'learning rate is for; add it or omit --auto-scale-lr'
        )
    config.auto_scale_lr.enable = True


def _is_sharded(config: Config) -> bool:
    return (config.get('strategy') or {}).get('type') == 'FSDPStrategy'


def _join_cpu_processes(config: Config) -> None:
    """Join processes without a GPU; mmengine's own way asks for a CUDA device.

    The wrapper of the model is one of the config of a ``Runner``, and one of the strategy of a
    ``FlexibleRunner``.
    """
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    data_parallel = {
        'type': 'MMDistributedDataParallel',
        'device_ids': None,
        'broadcast_buffers': False,
    }
    strategy = config.get('strategy') or {}
    if config.get('runner_type') != 'FlexibleRunner':
        config.model_wrapper_cfg = data_parallel
    elif strategy.get('type') == 'DDPStrategy':
        strategy.setdefault('model_wrapper', data_parallel)
    elif _is_sharded(config):
        if strategy.get('state_dict_cfg') == 'full':
            # moved to the CPU, where they are, parameters would not be copied before they are freed
            strategy['state_dict_cfg'] = {
                'state_dict_type': 'FULL_STATE_DICT',
                'state_dict_config': {'type': 'FullStateDictConfig'},
                'optim_state_dict_config': {'type': 'FullOptimStateDictConfig'},
            }
        # the second moments of Adam would come in place of the first
        config.setdefault('default_hooks', {}).setdefault('checkpoint', {'type': 'CheckpointHook'})[
            'save_optimizer'
        ] = False
        wrapper = strategy.setdefault('model_wrapper', {'type': 'MMFullyShardedDataParallel'})
        wrapper.setdefault('device_id', 'cpu')


def write_metrics(
    runner: Runner, metrics: Mapping[str, float], checkpoint: Union[str, Path]
) -> None:
    """Write the metrics of a test as ``metrics.json``, with what produced them.

    Args:
        runner: Runner of the test.
        metrics: Metrics by name; NaN becomes null.
        checkpoint: Tested checkpoint.
    """
    if not is_main_process():
        return
    environment = collect_env()
    record = {
        'metrics': {
            name: None if math.isnan(value) else float(value) for name, value in metrics.items()
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
    path = Path(runner.work_dir) / 'metrics.json'
    with whole_file(path) as partial:
        partial.write_text(json.dumps(record, indent=2))
    runner.logger.info(f'The metrics and what produced them are in {path}')
