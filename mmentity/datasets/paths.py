"""File names from annotation files, which are other people's input."""

import os
from pathlib import Path, PureWindowsPath
from typing import Union

from mmentity.datasets.errors import SampleError

KIND = 'unsafe-path'


def join_inside(folder: Union[str, Path], name: str) -> str:
    """Join a folder and a file name that an annotation file gives.

    Works on the text alone, so it costs no access to the disk and holds for
    remote folders too; :func:`check_links` looks at what is on the disk.

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


def check_links(folder: Union[str, Path], path: Union[str, Path]) -> None:
    """Refuse a file that links lead out of its folder.

    The folder itself may be a link: it is the user's own choice.

    Raises:
        SampleError: If the file lies outside of the folder.
    """
    inside = os.path.realpath(folder or '.')
    actual = os.path.realpath(path)
    if os.path.commonpath([inside, actual]) != inside:
        raise SampleError(
            f'{path} is a link out of {folder or "."}, to {actual}; '
            'put the file itself there, or make the folder one that holds it',
            KIND,
        )
