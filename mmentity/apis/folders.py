"""Files below folders, through links too, each once."""

import glob
import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache


def files_below(folder: str) -> Iterator[str]:
    """Go through the files of a folder and of all folders below it.

    What a link leads to a second time is left out; so are names that begin with a dot.
    """
    return _once(_walk(folder))


def matching_files(pattern: str) -> Iterable[str]:
    """Return what a glob matches, with ``**`` for any number of folders."""
    parts = pattern.split('/')
    if '**' not in parts:
        return glob.glob(pattern)
    place = parts.index('**')
    head = '/'.join(parts[:place]) or ('/' if pattern.startswith('/') else '.')
    folders = [folder for folder in glob.glob(head) if os.path.isdir(folder)]
    # glob itself would go round in circles of links
    files = ((folder, path) for folder in folders for path in _walk(folder))
    below = ((os.path.relpath(path, folder).split('/'), path) for folder, path in files)
    return _once(path for names, path in below if _fits(names, parts[place:]))


def _walk(folder: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Go through all files below a folder, through links too, but not in circles."""
    state = os.stat(folder)
    here = (state.st_dev, state.st_ino)
    if here in above:
        return
    for name in sorted(name for name in os.listdir(folder) if not name.startswith('.')):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from _walk(path, above | {here})
        else:
            yield path


def _fits(names: list[str], wanted: list[str]) -> bool:
    """Whether the names of a path fit the parts of a pattern."""
    if not wanted or not names:
        return names == [] and all(part == '**' for part in wanted)
    if wanted[0] == '**':
        return _fits(names, wanted[1:]) or _fits(names[1:], wanted)
    return fnmatchcase(names[0], wanted[0]) and _fits(names[1:], wanted[1:])


def _once(paths: Iterable[str]) -> Iterator[str]:
    """Leave out what links between folders lead to a second time, the longer way."""
    real_folder = cache(os.path.realpath)
    found: set[tuple[str, str]] = set()
    for path in sorted(paths, key=lambda path: (path.count(os.sep), path)):
        folder, name = os.path.split(path)
        place = (real_folder(folder), name)
        if place not in found:
            found.add(place)
            yield path
