"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Union


@contextmanager
def whole_file(path: Union[str, Path]) -> Iterator[Path]:
    """Give a name to write under; the file gets its own name when all went well.

    Missing folders are made. If the body raises, nothing stays behind and an
    older file of that name is untouched.

    Args:
        path: Name that the file gets.

    Yields:
        Name beside it, with the same suffix, to write to.

    Examples:
        >>> with whole_file('results/figures.json') as partial:
        ...     partial.write_text('{}')
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.stem}.partial-{os.getpid()}{path.suffix}')
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
