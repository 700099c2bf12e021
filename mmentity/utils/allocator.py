"""Let a network on the CPU use its memory again instead of asking the kernel for it.

The C library hands large blocks back to the kernel as soon as they are free, and the kernel
clears each page of the next one: a tenth of the time of a prediction, measured by
``benchmarks/forward.py``.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Optional

# numbers of the options, of malloc.h of glibc
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
# where glibc's own thresholds end up once large blocks were freed
USUAL = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}
KEEPING = {MMAP_MAX: 0, TRIM_THRESHOLD: (1 << 31) - 1}

_lock = Lock()
_users = 0


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep freed memory in the process until the end, and hand it back then.

    Does nothing where the C library is not glibc. Several threads may be inside.
    """
    library = _glibc()
    if library is None:
        yield
        return
    _change_users(library, 1)
    try:
        yield
    finally:
        _change_users(library, -1)


def _change_users(library: ctypes.CDLL, change: int) -> None:
    global _users
    with _lock:
        before, _users = _users, _users + change
        if 0 not in (before, _users):
            return
        for option, value in (KEEPING if _users else USUAL).items():
            library.mallopt(option, value)
        if not _users:
            library.malloc_trim(0)


@lru_cache(maxsize=1)
def _glibc() -> Optional[ctypes.CDLL]:
    if sys.platform != 'linux':
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, 'gnu_get_libc_version') else None
