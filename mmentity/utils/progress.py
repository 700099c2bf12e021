"""Progress of long runs, on a terminal and in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LOG_SECONDS = 30


T = TypeVar('T')


def show_progress(items: Iterable[T], total: int, description: str = 'images') -> Iterator[T]:
    """Go through items and show the progress.

    A terminal gets a bar; a log file gets a line every half minute.

    Args:
        items: What to go through.
        total: How many there will be, as far as is known.
        description: What they are.
    """
    if not sys.stderr.isatty():
        yield from _log_progress(items, total, description)
        return
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # on stderr, so that tables on stdout can be piped
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=description)


def _log_progress(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_SECONDS:
            last, rate = now, done / (now - start)
            MMLogger.get_current_instance().info(
                f'{done:,} of {total:,} {description}, {rate:.1f} a second, '
                f'{(total - done) / rate / 60:.0f} min left'
            )
