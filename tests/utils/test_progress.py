"""Progress in a log and on a terminal."""

import io
import logging

import pytest
from mmengine.logging import MMLogger
from rich.progress import Progress

from mmentity.utils import progress
from mmentity.utils.progress import RateColumn, clock, show_progress


@pytest.fixture
def lines(monkeypatch):
    """Messages of the log, where each look at the clock takes ten seconds."""
    times = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(times))
    found = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: found.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def test_a_log_gets_a_line_at_once_and_then_every_half_minute(lines):
    assert list(show_progress(range(7), 7)) == list(range(7))
    assert lines == [
        '1 of 7 images, 0.1 a second, 1:00 left',
        '4 of 7 images, 0.1 a second, 0:30 left',
        '7 of 7 images, 0.1 a second, 0:00 left',
    ]


def test_a_stream_without_an_end_has_no_time_left(lines):
    list(show_progress(iter(range(2)), None, 'frames'))
    assert lines == ['1 frames, 0.1 a second']


@pytest.mark.parametrize('total', [3, None])
def test_a_terminal_gets_a_bar(monkeypatch, total):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(progress.sys, 'stderr', stream)
    assert list(show_progress(range(3), total)) == [0, 1, 2]
    assert 'images' in stream.getvalue()


def test_the_rate_of_a_bar():
    bar = Progress()
    bar.add_task('images', total=10)
    (task,) = bar.tasks
    assert RateColumn().render(task).plain == ''
    task.finished_speed = 2.5
    assert RateColumn().render(task).plain == '2.5/s'


@pytest.mark.parametrize(('seconds', 'text'), [(0.4, '0:00'), (75, '1:15'), (3700, '1:01:40')])
def test_durations(seconds, text):
    assert clock(seconds) == text
