"""Long jobs over many files: parallel, with progress, resumable."""

import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, TypeVar

from PIL import Image

from mmentity.utils.files import write_json
from mmentity.utils.progress import show_progress

CHUNK = 64
# what unusable files and annotations raise
TASK_ERRORS = (OSError, ValueError, KeyError, TypeError, SyntaxError, Image.DecompressionBombError)
Task = TypeVar('Task')
Result = TypeVar('Result')


class Outcome(NamedTuple):
    """Result of one task: what the function returned, or why it failed."""

    value: Any
    fault: str


@dataclass
class ConversionReport:
    """What a conversion of annotations made, in files and numbers."""

    files: list[str] = field(default_factory=list)  # written
    skipped: list[str] = field(default_factory=list)  # existed already
    images: int = 0
    entities: int = 0
    crowds: int = 0  # segments that were left out
    lost: int = 0  # entities that are too small for a pixel
    faults: list[str] = field(default_factory=list)  # one for each image that is left out

    def add_fault(self, target: str, image: dict[str, Any], fault: str) -> None:
        """Tell why an image is left out of what is made."""
        name = f'{image.get("file_name")} (image id {image.get("id")})'
        self.faults.append(f'{target}: {name} is left out: {fault}')


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_parallel(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: Optional[int],
    title: str,
    chunk: int = 1,
) -> Iterator[Result]:
    """Apply a function to all tasks, in their order, and show the progress.

    Args:
        function: Function of one task, importable by name.
        tasks: Arguments.
        workers: Processes, by default one for each processor; at 1 everything runs in this one.
        title: Text beside the progress bar.
        chunk: Tasks that a process takes at a time.
    """
    workers = workers or default_workers()
    if workers <= 1 or len(tasks) < 2:
        yield from show_progress(map(function, tasks), len(tasks), title)
        return
    with ProcessPoolExecutor(workers, initializer=_end_with_parent) as pool:
        # processes start here, before the progress bar has a thread of its own
        results = pool.map(function, tasks, chunksize=chunk)
        yield from show_progress(results, len(tasks), title)


def attempt(function: Callable[[Task], Any], task: Task) -> Outcome:
    """Apply a function to one task and catch the errors of unusable data."""
    try:
        return Outcome(function(task), '')
    except TASK_ERRORS as error:
        return Outcome(None, str(error))


def convert_images(
    function: Callable[[list], Any],
    tasks: Sequence[list],
    workers: Optional[int],
    target: str,
    store: Path,
    report: ConversionReport,
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Convert the annotations of many images, and resume a run that was killed.

    Results are kept on disk under a digest of the function's name and its tasks,
    a chunk of tasks at a time. Chunks in which a task failed are done again.

    Args:
        function: Function of one task that returns a value for json.
        tasks: Arguments fit for json, lists that begin with the entry of an image.
        workers: As in :func:`run_parallel`.
        target: What is made, for the progress bar and the messages.
        store: Folder of the results; the caller removes it when all is done.
        report: Gets a message for each image that is left out.

    Yields:
        Entry of the image and the value, for each task that succeeded, in order.
    """
    chunks = [list(tasks[first : first + CHUNK]) for first in range(0, len(tasks), CHUNK)]
    run_chunk = partial(_run_chunk, function, str(store))
    images = (task[0] for task in tasks)
    for path in run_parallel(run_chunk, chunks, workers, target):
        for outcome in json.loads(Path(path).read_text()):
            image, (value, fault) = next(images), outcome
            if fault:
                report.add_fault(target, image, fault)
            else:
                yield image, value


def _run_chunk(function: Callable[[list], Any], store: str, tasks: list[list]) -> str:
    text = json.dumps([function.__module__, function.__qualname__, tasks])
    path = Path(store) / f'{hashlib.sha256(text.encode()).hexdigest()}.json'
    if not path.is_file():
        outcomes = [attempt(function, task) for task in tasks]
        if any(outcome.fault for outcome in outcomes):
            path = path.with_suffix('.faulty')
        write_json(path, outcomes)
    return str(path)


def _end_with_parent() -> None:
    """Let a worker end when its parent was killed instead of waiting forever."""

    def watch() -> None:
        parent: Optional[Any] = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
