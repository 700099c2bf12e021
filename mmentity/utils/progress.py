"""Progress of long runs, on a terminal and in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Optional, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mmentity.utils.logs import get_logger

LOG_SECONDS = 30


T = TypeVar('T')


def show_progress(
    items: Iterable[T], total: Optional[int], description: str = 'images'
) -> Iterator[T]:
    """Go through items and show the progress.

    A terminal gets a bar; a log file gets a line after the first item and then every
    half minute.

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
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # on stderr, so that tables on stdout can be piped
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=description)


class RateColumn(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        """Show the rate, once it is known."""
        speed = task.finished_speed or task.speed
        return Text(f'{speed:.1f}/s' if speed else '')


def _log_progress(items: Iterable[T], total: Optional[int], description: str) -> Iterator[T]:
    start = time.monotonic()
    last = float('-inf')
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_SECONDS:
            last, rate = now, done / max(now - start, 1e-3)
            known = '' if total is None else f' of {total:,}'
            left = '' if total is None else f', {clock(max(0, total - done) / rate)} left'
            get_logger().info(f'{done:,}{known} {description}, {rate:.1f} a second{left}')


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds, with hours where there are any.

    Examples:
        >>> clock(75), clock(3700)
        ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
