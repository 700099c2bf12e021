"""List the configs that travel with the package, or copy one to change it.

mmentity configs swin-t                             # names that contain swin-t
mmentity configs copy cropformer_swin-t_3x          # into configs/, with its bases
mmentity configs copy cropformer_swin-t_3x mine/
"""

import argparse
from pathlib import Path

from mmentity.utils.shipped_configs import CONFIGS, files_of, find_config, shipped_configs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity configs``."""
    parser.add_argument(
        'words', nargs='*', metavar='WORD',
        help='names to list contain this; or: copy NAME [DIR], DIR is configs by default',
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """List or copy."""
    if args.words[:1] == ['copy']:
        if not 2 <= len(args.words) <= 3:
            raise ValueError('copy wants the name of a config and, if you like, a folder')
        print(_copy(*args.words[1:]))
        return 0
    for name in shipped_configs():
        if all(word in name for word in args.words):
            print(name)
    return 0


def _copy(name: str, folder: str = 'configs') -> Path:
    """Copy a shipped config with its bases, each at its place among them.

    Raises:
        FileNotFoundError: If there is no such config.
        FileExistsError: If a file is there with another content; nothing is copied then.
    """
    root = CONFIGS.resolve()
    copies = {
        path: Path(folder) / path.relative_to(root) for path in files_of(_shipped(name).resolve())
    }
    for path, copy in copies.items():
        if copy.exists() and copy.read_bytes() != path.read_bytes():
            raise FileExistsError(f'{copy} is there and differs; choose another folder')
    for path, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return next(iter(copies.values()))


def _shipped(name: str) -> Path:
    """Find a shipped config, also where the folder has a file of that name."""
    return find_config(Path(name).stem if name.endswith('.py') else name)
