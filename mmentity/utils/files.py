"""Files that are written whole or not at all, and digests of files."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional, Union

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')


@contextmanager
def whole_file(
    path: Union[str, Path], scratch: Optional[Union[str, Path]] = None
) -> Iterator[Path]:
    """Give a name to write under; the file gets its own name when all went well.

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
        >>> with whole_file('results/figures.json') as partial:
        ...     partial.write_text('{}')
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent if scratch is None else Path(scratch)
    partial = folder / f'{path.stem}.partial-{os.getpid()}-{threading.get_ident()}{path.suffix}'
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sha256_of(path: Union[str, Path]) -> str:
    """Compute the sha256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).expanduser().open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
