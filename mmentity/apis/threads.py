"""Work that goes on in threads while the network computes.

Threads are enough: decoding and encoding of pictures, resizing and torch's
operators all release the interpreter's lock.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Optional


def map_ahead(function: Callable, items: Iterable, workers: int, ahead: int) -> Iterator[tuple]:
    """Apply a function to items in threads, a few of them ahead of the reader.

    Args:
        function: Applied to each item.
        items: Items; taken in the reader's thread.
        workers: Threads; 0 works in the reader's thread when the item is asked for.
        ahead: Results that may wait at a time, which bounds the memory.

    Yields:
        Item and a done :class:`~concurrent.futures.Future`, in the order of items.
    """
    if workers == 0:
        for item in items:
            yield item, _run_now(function, item)
        return
    waiting = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix='read') as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > ahead:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


class Background:
    """Run jobs in threads, never more than a few waiting.

    Args:
        workers: Threads; 0 runs each job when it is given.
        pending: Jobs that may wait at a time, which bounds the memory.
    """

    def __init__(self, workers: int, pending: int) -> None:
        self.pending = pending
        self.pool: Optional[ThreadPoolExecutor] = None
        if workers:
            self.pool = ThreadPoolExecutor(workers, thread_name_prefix='write')
        self.waiting = deque()

    def submit(self, key: object, function: Callable, *args) -> list:
        """Give a job, waiting while too many are on their way.

        Returns:
            Pairs of key and done future of jobs that have finished meanwhile, in
            the order in which they were given.
        """
        if self.pool is None:
            return [(key, _run_now(function, *args))]
        self.waiting.append((key, self.pool.submit(function, *args)))
        done = []
        while self.waiting and (len(self.waiting) > self.pending or self.waiting[0][1].done()):
            done.append(_finished(*self.waiting.popleft()))
        return done

    def finish(self) -> list:
        """Wait for the remaining jobs; returns as :meth:`submit` does."""
        done = [_finished(*pair) for pair in self.waiting]
        self.waiting.clear()
        return done

    def close(self) -> None:
        """Drop what has not begun and end the threads."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)


def _run_now(function: Callable, *args) -> Future:
    future = Future()
    try:
        future.set_result(function(*args))
    except Exception as error:
        future.set_exception(error)
    return future


def _finished(key: object, future: Future) -> tuple:
    future.exception()
    return key, future
