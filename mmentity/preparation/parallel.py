"""Long jobs over many files: parallel, with progress, resumable."""

import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Optional

from mmentity.utils.files import whole_file
from mmentity.utils.progress import progress_bar

CHUNK = 64


def default_workers() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_parallel(
    function: Callable, tasks: Sequence, workers: int, title: str, chunk: int = 1
) -> Iterator:
    """Apply a function to all tasks in processes, with a progress bar.

    Args:
        function: Function of one task, importable by name.
        tasks: Arguments.
        workers: Processes; at 1 or less everything runs in this one.
        title: Text beside the progress bar.
        chunk: Tasks that a process takes at a time.

    Yields:
        Results in the order of the tasks.
    """
    if workers <= 1 or len(tasks) < 2:
        yield from with_progress(map(function, tasks), len(tasks), title)
        return
    with ProcessPoolExecutor(workers, initializer=_end_with_parent) as pool:
        # processes start here, before the progress bar has a thread of its own
        results = pool.map(function, tasks, chunksize=chunk)
        yield from with_progress(results, len(tasks), title)


def run_resumable(
    function: Callable, tasks: Sequence, workers: int, title: str, store: Path
) -> Iterator:
    """Apply a function to chunks of tasks and keep each result on disk.

    A result is kept under a digest of the function's name and its tasks, so
    that a job that was killed takes up what it had and nothing else. Chunks in
    which something went wrong are done again.

    Args:
        function: Function of a list of tasks that returns a list for json; each
            result ends with what went wrong, or ''.
        tasks: Arguments, fit for json.
        workers: Processes; at 1 or less everything runs in this one.
        title: Text beside the progress bar.
        store: Folder of the results; the caller removes it when all is done.

    Yields:
        One result for each task, in order.
    """
    chunks = [
        (function, list(tasks[first : first + CHUNK]), str(store))
        for first in range(0, len(tasks), CHUNK)
    ]
    for path in run_parallel(_run_chunk, chunks, workers, title):
        yield from json.loads(Path(path).read_text())


def _run_chunk(chunk: tuple) -> str:
    function, tasks, store = chunk
    text = json.dumps([function.__module__, function.__qualname__, tasks])
    path = Path(store) / f'{hashlib.sha256(text.encode()).hexdigest()}.json'
    if not path.is_file():
        result = function(tasks)
        if any(row[-1] for row in result):
            path = path.with_suffix('.faulty')
        with whole_file(path) as partial:
            partial.write_text(json.dumps(result))
    return str(path)


def with_progress(results: Iterable, total: int, title: str) -> Iterator:
    """Go through results under a progress bar."""
    with progress_bar() as progress:
        task = progress.add_task(title, total=total)
        for result in results:
            progress.advance(task)
            yield result


def _end_with_parent() -> None:
    """Let a worker end when its parent was killed instead of waiting for ever."""

    def watch() -> None:
        parent: Optional[Any] = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
