"""Arguments that several commands share."""

import argparse

from mmentity.preparation.parallel import default_workers
from mmentity.utils.dependencies import is_installed

DEFAULT_MODEL = 'cropformer_hornet-l_3x'


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that overrides settings of a config."""
    if is_installed('mmengine'):
        from mmengine.config import DictAction
    else:
        # there is no config then, only exported networks
        DictAction = argparse._StoreAction
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as key=value pairs',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what mmdet's tools have for every run of a config."""
    parser.add_argument('config', help='config, by path or by the name of a shipped one')
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


def add_data_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """Add what the commands have that look at the data of a config."""
    parser.add_argument('config', help='config, by path or by the name of a shipped one')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--out-dir', help=f'default: work_dirs/CONFIG/{command}/SPLIT')
    add_config_options(parser)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a model."""
    parser.add_argument(
        '--model',
        default=DEFAULT_MODEL,
        help='config, by path or by the name of a shipped one, or the .onnx file of an exported '
        f'network; default: {DEFAULT_MODEL}',
    )
    parser.add_argument(
        '--weights',
        help="checkpoint, converted or of the official release; or official: the authors' for a "
        'shipped config are fetched (CC BY-NC 4.0, non-commercial use only); default: asks for it',
    )
    parser.add_argument(
        '--yes', action='store_true', help='without --weights, take the official ones unasked'
    )
    parser.add_argument('--device', help='such as cuda:0 or cpu; default: the best there is')


def add_entityseg_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder of EntitySeg and the number of processes."""
    parser.add_argument('root', help='folder that holds images/ and annotations/')
    add_workers(parser)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the number of processes."""
    parser.add_argument(
        '--workers', type=int, default=default_workers(), help='processes (default: all cores)'
    )
