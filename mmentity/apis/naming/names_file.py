"""Files of names, one a line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Union


def read_names_file(path: Union[str, Path]) -> tuple[str, ...]:
    """Read names, one a line, in UTF-8; white space around a name does not count.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text, holds no name, or a line is blank or stands there before.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no file of names {path}; write one name a line into it')
    try:
        # some editors put a mark in front
        lines = path.read_bytes().decode('utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text in UTF-8 ({error}); save it as one') from error
    try:
        return check_names([line.strip() for line in lines], 'line')
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def check_names(names: Sequence[str], place: str = 'name') -> tuple[str, ...]:
    """Return names, each of which must stand once.

    Args:
        names: The names.
        place: What a message counts.

    Raises:
        ValueError: If there is none, or one is blank or stands there before.
    """
    if not names:
        raise ValueError('it holds no names; give at least one')
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise ValueError(f'{place} {number} is blank; remove it')
        if name in first:
            raise ValueError(
                f'{name!r} is {place} {first[name]} and {place} {number}; keep one of both'
            )
        first[name] = number
    return tuple(names)
