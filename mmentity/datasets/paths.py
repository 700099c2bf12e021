"""File names from annotation files, which are other people's input."""

import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Union

from mmentity.datasets.errors import SampleError

KIND = 'unsafe-path'


def join_inside(folder: Union[str, Path], name: str) -> str:
    """Join a folder and a file name that an annotation file gives.

    Works on the text alone, so it costs no access to the disk and holds for
    remote folders too. Links on the disk are followed wherever they lead: they are
    how DVC, git-annex and data on several disks work, and their owner made them.

    Args:
        folder: Folder of the images or maps.
        name: File name below it.

    Raises:
        SampleError: If the name is empty, absolute, or leads out of the folder.

    Examples:
        >>> join_inside('data/images', 'a/b.jpg')
        'data/images/a/b.jpg'
        >>> join_inside('data/images', '../../secret.jpg')
        Traceback (most recent call last):
        mmentity.datasets.errors.SampleError: the file name '../../secret.jpg' leads out of ...
    """
    if not isinstance(name, str) or not name.strip() or '\0' in name:
        raise SampleError(f'the file name {name!r} is not one; give a name below its folder', KIND)
    # a Windows path knows both separators, and drives
    parts = PureWindowsPath(name)
    if name.startswith('/') or parts.drive or parts.root:
        raise SampleError(
            f'the file name {name!r} is absolute; give it relative to its folder', KIND
        )
    if '..' in parts.parts:
        raise SampleError(
            f'the file name {name!r} leads out of its folder; give it without ".."', KIND
        )
    if '://' in str(folder):
        return f'{str(folder).rstrip("/")}/{name}'
    return str(Path(folder) / name)


def files_below(folder: Union[str, Path]) -> Iterator[Path]:
    """Go through all files below a folder; linked files and folders count as if they lay there.

    A link to a folder that it lies in is not followed again; a folder that does not
    exist has no files.
    """
    ways: list[tuple[Path, frozenset[str]]] = [(Path(folder), frozenset())]
    while ways:
        place, above = ways.pop()
        actual = os.path.realpath(place)
        if actual in above or not os.path.isdir(place):
            continue
        for entry in os.scandir(place):
            if entry.is_dir():
                ways.append((place / entry.name, above | {actual}))
            elif entry.is_file():
                yield place / entry.name
