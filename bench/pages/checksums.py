"""Checksums of a page store, as ratios to reading the file once.

Usage: python bench/pages/checksums.py [DIRECTORY ...]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from replant.image import sums

ROUNDS = 5


def reading(fd: int, size: int) -> None:
    buffer = bytearray(sums.BLOCK)
    for at in range(0, size, sums.BLOCK):
        os.preadv(fd, [buffer], at)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(directory: str, size: int) -> None:
    with tempfile.TemporaryFile(dir=directory) as file:
        for at in range(0, size, sums.BLOCK):
            os.pwrite(file.fileno(), os.urandom(sums.BLOCK), at)
        times: dict[str, list[float]] = {"reading": [], "checksums": []}
        for _ in range(ROUNDS):
            times["reading"].append(timed(lambda: reading(file.fileno(), size)))
            times["checksums"].append(timed(lambda: sums.Early(file.fileno()).of_file(size)))
    base = statistics.median(times["reading"])
    for name, values in times.items():
        took = statistics.median(values)
        speed = size / took / 2**30
        print(f"{directory:9} {size >> 20:5} MiB {name:10} {took * 1e3:7.1f} ms {speed:5.1f} GB/s {took / base:.2f}")


if __name__ == "__main__":
    for where in sys.argv[1:] or ["/tmp", "/dev/shm"]:
        for mib in (2, 16, 64, 512):
            measure(where, mib << 20)
