"""Memory of predictions is used again."""

import ctypes
from pathlib import Path
from threading import Thread

import pytest
import torch

from mmentity.utils import allocator
from mmentity.utils.allocator import KEEPING, USUAL, memory_kept

BLOCK = 64 << 20
pytestmark = pytest.mark.skipif(allocator._glibc() is None, reason='the C library is not glibc')


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096


def faults_of_blocks(count: int = 4) -> int:
    """Pages that the kernel clears while blocks are made and dropped one after the other."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.ones(BLOCK // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_blocks_are_used_again() -> None:
    """Inside, the kernel clears the pages of one block, not of each; after it, they are gone."""
    outside = faults_of_blocks()
    with memory_kept():
        faults_of_blocks(1)
        inside = faults_of_blocks()
        kept = resident()
    assert inside < outside / 4
    assert kept - resident() > BLOCK / 2


class Recorder:
    """A C library that records the options set."""

    def __init__(self) -> None:
        self.options: dict[int, int] = {}
        self.trims = 0

    def mallopt(self, option: int, value: int) -> int:
        """Record an option."""
        self.options[option] = value
        return 1

    def malloc_trim(self, pad: int) -> int:
        """Count."""
        self.trims += 1
        return 1


def test_the_last_one_out_sets_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that are inside together share the setting, also where one raises."""
    library = Recorder()
    monkeypatch.setattr(allocator, '_glibc', lambda: library)

    def fail() -> None:
        with pytest.raises(KeyError), memory_kept():
            raise KeyError

    with memory_kept():
        thread = Thread(target=fail)
        thread.start()
        thread.join()
        assert {key: library.options[key] for key in KEEPING} == KEEPING
        assert library.trims == 0
    assert library.options == USUAL
    assert library.trims == 1


def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no glibc, nothing is called."""
    monkeypatch.setattr(allocator, '_glibc', lambda: None)
    monkeypatch.setattr(ctypes, 'CDLL', None)
    with memory_kept():
        assert torch.ones(3).sum() == 3
