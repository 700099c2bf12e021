"""The command ``mmentity``: its table of commands, its errors and its exit codes.

Nothing heavy is imported before a command is chosen, so that ``mmentity -h`` is
quick and ``mmentity doctor`` runs in a broken environment.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Optional

from mmentity.utils.dependencies import check_dependencies
from mmentity.version import __version__

COMMANDS = {
    'train': 'train a model of a config',
    'test': 'test a checkpoint and write its metrics',
    'predict': 'segment images, folders and videos into id maps, tables and overlays',
    'web': 'serve a page on which the entities of an image can be looked at',
    'weights': "list, fetch or verify the authors' weights",
    'convert': 'convert weights of other projects, or a backbone; and the way back',
    'to-transformers': 'write a Mask2Former with a Swin as a model of transformers',
    'export': 'write a network as an ONNX file, which predicts without PyTorch',
    'check': 'check every file, entry and mask of EntitySeg',
    'make-lr': "make EntitySeg's low-resolution images and annotations",
    'derive': 'derive instance, semantic and panoptic annotations from those of entities',
    'download': 'download images, or the files of a list',
    'coco2entity': 'convert COCO panoptic annotations for pretraining',
    'make-demo-data': 'draw the demo data',
    'configs': 'list the shipped configs, or copy one with its bases to change it',
    'stats': 'count entities, areas, sizes and classes of the data of a config',
    'browse': 'draw what the network sees of the data of a config',
    'analyze-results': 'draw the images of a test with the best and the worst metric',
    'flops': 'count parameters and multiply-adds of configs',
    'doctor': 'say what is installed, what is missing, and the command that fixes it',
}
# commands of which somebody waits for the first sign of life, while PyTorch is imported
SLOW_TO_START = ('predict', 'web')
OK, FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command.

    Args:
        argv: Command and its arguments; defaults to those of the process.

    Returns:
        Exit code: 0 where all went well; 1 where images or files failed or
        problems were found; 2 for a user's error, whose message is on stderr;
        130 after Ctrl-C.

    Examples:
        >>> main(['predict', 'frames/', '--weights', 'weights.pth', '--out', 'maps'])
        0
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and argv[0] in COMMANDS:
        return run_command(argv[0], argv[1:])
    # help, version, or an error about the command
    return run_command(_program_parser().parse_args(argv).command, [])


def run_command(name: str, argv: Sequence[str]) -> int:
    """Import a command, parse its arguments and run it.

    ``MMENTITY_TRACEBACK=1`` in the environment lets errors through.

    Args:
        name: Key of ``COMMANDS``.
        argv: Arguments of the command.

    Returns:
        Exit code, as for :func:`main`.
    """
    # about a library, nothing that a user could fix
    warnings.filterwarnings('ignore', message='torch.meshgrid')
    try:
        is_light = name == 'doctor' or runs_exported_file(name, argv)
        if not is_light:
            check_dependencies()
        if not is_light and name in SLOW_TO_START and not {'-h', '--help'}.intersection(argv):
            print(f'mmentity {name}: PyTorch is loading', file=sys.stderr, flush=True)
        command = import_command(name)
        return command.run(build_parser(name, command).parse_args(argv))
    except Exception as error:
        if os.environ.get('MMENTITY_TRACEBACK') or not _is_explained(error):
            raise
        hint = '; mmentity doctor finds out why' if isinstance(error, ModuleNotFoundError) else ''
        print(f'mmentity {name}: {_message_of(error)}{hint}', file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def runs_exported_file(name: str, argv: Sequence[str]) -> bool:
    """Whether a command line predicts with an exported network, which needs no PyTorch."""
    models = [
        after if option == '--model' else option.partition('=')[2]
        for option, after in zip(argv, [*argv[1:], ''])
        if option == '--model' or option.startswith('--model=')
    ]
    return name == 'predict' and bool(models) and models[-1].lower().endswith('.onnx')


def import_command(name: str) -> ModuleType:
    """Import the module of a command, with ``add_arguments`` and ``run``."""
    return import_module(f'mmentity.cli.commands.{name.replace("-", "_")}')


def build_parser(name: str, command: ModuleType) -> argparse.ArgumentParser:
    """Build the parser of one command."""
    parser = argparse.ArgumentParser(
        prog=f'mmentity {name}',
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    return parser


def _is_explained(error: Exception) -> bool:
    """Whether a message tells what to do: not that of an error in the code itself."""
    if isinstance(error, KeyError):
        return ' registry' in str(error)  # mmengine's, of a wrong type= in a config
    # the last two are those of a config
    kinds = (ValueError, OSError, ImportError, SyntaxError)
    return isinstance(error, kinds) or type(error).__name__ == 'ConfigParsingError'


def _message_of(error: Exception) -> str:
    """Return the message alone, where a worker process has put its traceback around it."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if 'Original Traceback' in text:
        text = text.rsplit(f'{type(error).__name__}: ', 1)[-1].strip()
    return text


def _program_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    lines = [f'  {name:{width}}  {text}' for name, text in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog='mmentity',
        description='High-quality entity segmentation (CropFormer) for OpenMMLab.',
        epilog='\n'.join(['commands:', *lines, '', 'mmentity COMMAND -h has the options of each.']),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'mmentity {__version__}')
    parser.add_argument('command', choices=COMMANDS, metavar='COMMAND', help='one of those below')
    return parser
