"""Work in threads while the network computes.

Threads are enough: decoding and encoding of images, resizing and torch's
operators all release the interpreter's lock.
"""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, TypeVar

Item = TypeVar('Item')
Value = TypeVar('Value')


def map_in_background(
    function: Callable[[Item], Value], items: Iterable[Item], workers: int, pending: int
) -> Generator[Value, None, None]:
    """Apply a function to items in threads, with a bounded number of them on the way.

    ``Executor.map`` would take all items at once.

    Args:
        function: Applied to each item; what it raises is raised here, in order.
        items: Items; taken in the caller's thread.
        workers: Threads; 0 works in the caller's thread when a value is asked for.
        pending: Values that may wait at a time, which bounds the memory.

    Yields:
        Values in the order of the items. When the caller stops early, what has
        not begun is dropped and what has begun is waited for.
    """
    if workers == 0:
        yield from map(function, items)
        return
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                del item  # an item may hold a whole image
                if len(waiting) > pending:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
