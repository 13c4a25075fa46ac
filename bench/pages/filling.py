"""Pages into a new address space: ways to fill anonymous memory from the store, as ratios to pread alone.

Usage: python bench/pages/filling.py [--cold] [DIRECTORY ...]: where the page store lies (a disk, a tmpfs).

In a virtual machine that reports free memory to its host, large free blocks are cold: they come back slowly. By default
as much memory as a round needs is touched and freed before; with --cold it is not.
"""

from __future__ import annotations

import mmap
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable

from replant.abi import mman, x86_64
from replant.abi.call import Call
from replant.abi.libc import syscall_raw
from replant.pages.fill import HUGE, collapse, populate

ROUNDS = 7
PAGE = 4096


def read(start: int, length: int, fd: int) -> Iterable[Call]:
    yield Call(x86_64.pread64, fd, start, length, 0)


def preads(start: int, length: int, fd: int) -> Iterable[Call]:
    yield from read(start, length, fd)


def populated(start: int, length: int, fd: int) -> Iterable[Call]:
    yield from populate(start, length)
    yield from read(start, length, fd)


def collapsed(start: int, length: int, fd: int) -> Iterable[Call]:
    yield from collapse(start, length, 0, fd)
    yield from read(start, length, fd)


def advised(start: int, length: int, fd: int) -> Iterable[Call]:
    yield Call(x86_64.madvise, start, length, mman.MADV_HUGEPAGE)
    yield from read(start, length, fd)


def once(length: int, fd: int, way: Callable[[int, int, int], Iterable[Call]]) -> float:
    room = syscall_raw(x86_64.mmap, 0, length + HUGE, 3, mman.MAP_PRIVATE | mman.MAP_ANONYMOUS, -1, 0)
    start = -(-room // HUGE) * HUGE
    calls = list(way(start, length, fd))
    began = time.perf_counter()
    for call in calls:
        syscall_raw(call.nr, *call.args)
    took = time.perf_counter() - began
    syscall_raw(x86_64.munmap, room, length + HUGE)
    return took


def warm(length: int) -> None:
    """Have the memory that a round needs in the guest."""
    if "--cold" in sys.argv:
        return
    for advice in (mmap.MADV_NORMAL, mmap.MADV_HUGEPAGE):
        area = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area.madvise(advice)
        for at in range(0, length, PAGE):
            area[at] = 1
        area.close()


def measure(directory: str, length: int) -> None:
    ways = (preads, populated, collapsed, advised)
    times: dict[str, list[float]] = {w.__name__: [] for w in ways}
    with tempfile.TemporaryFile(dir=directory) as file:
        os.pwrite(file.fileno(), os.urandom(length), 0)
        for _ in range(ROUNDS):
            for way in ways:
                warm(length + HUGE)
                times[way.__name__].append(once(length, file.fileno(), way))
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["preads"]
    row = "  ".join(f"{n} {v * 1e3:7.2f} ms {v / base:4.2f}" for n, v in medians.items())
    print(f"{directory:8} {length >> 20:5} MiB  {row}")


if __name__ == "__main__":
    for where in [a for a in sys.argv[1:] if a != "--cold"] or ["/tmp", "/dev/shm"]:
        for mib in (2, 8, 64, 512):
            measure(where, mib << 20)
