"""Files that are written whole or not at all, digests of files, suffixes of images."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional, Union

try:
    import fcntl
except ImportError:  # not on Windows: nobody waits
    fcntl = None  # type: ignore[assignment]

# files that are taken for images, in lower case
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')

LONGEST_STEM = 64


def cache_folder() -> Path:
    """Folder of the user for what may be made again (in ``XDG_CACHE_HOME`` or ``~/.cache``)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'mmentity'


@contextmanager
def whole_file(
    path: Union[str, Path], scratch: Optional[Union[str, Path]] = None
) -> Iterator[Path]:
    """Yield a temporary name to write under; the file is renamed when all went well.

    Missing folders are made. If the body raises, nothing stays behind and an
    older file of that name is untouched.

    Args:
        path: Name that the file gets.
        scratch: Folder of the same disk in which it is written, for places where
            no other file may appear even if the process is killed. Defaults to
            the folder of the file.

    Yields:
        Name in that folder, with the same suffix, to write to.

    Examples:
        >>> with whole_file('results/metrics.json') as partial:
        ...     partial.write_text('{}')
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent if scratch is None else Path(scratch)
    # the longest name that the file may have leaves no room for more
    stem = os.fsdecode(os.fsencode(path.stem)[:LONGEST_STEM])
    partial = folder / f'{stem}.partial-{os.getpid()}-{threading.get_ident()}{path.suffix}'
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def lock_folder(folder: Union[str, Path]) -> Iterator[None]:
    """Wait until no other process holds the folder, and hold it.

    On disks that know no locks, as some of the network, nobody waits.

    Args:
        folder: A folder that exists; nothing is written into it.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def printable(text: str) -> str:
    """Escape the bytes of a file name that are no text."""
    return text.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')


def is_partial(path: Path) -> bool:
    """Whether a file is one that :func:`whole_file` is writing, or could not finish."""
    return '.partial-' in path.name


def write_json(path: Union[str, Path], content: object, indent: Optional[int] = None) -> None:
    """Write a json file whole or not at all."""
    with whole_file(path) as partial, partial.open('w', encoding='utf-8') as stream:
        json.dump(content, stream, indent=indent)


def digest_of(path: Union[str, Path], algorithm: str = 'sha256') -> str:
    """Compute the digest of a file by an algorithm of hashlib, in hexadecimal digits."""
    digest = hashlib.new(algorithm)
    with Path(path).expanduser().open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of(path: Union[str, Path]) -> str:
    """Compute the sha256 of a file, in hexadecimal digits."""
    return digest_of(path)
