"""Pages out of a process: from outside and from inside, as a ratio, for amounts that grow.

Usage: python bench/pages/copying.py [DIRECTORY ...]: where the page store lies (a disk, a tmpfs).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tests"))

from pages.target import PAGE, Target
from replant.pages import copy as copying
from replant.pages.scan import scan
from replant.pages.store import PageWriter

ROUNDS = 7


def once(target: Target, vmas: list, fd: int, inside: bool) -> float:
    os.ftruncate(fd, 0)
    store = PageWriter(fd)
    found = scan(target.pid, vmas)
    copying.WORTH_INSIDE = 0
    began = time.perf_counter()
    copying.copy(target.pid, found, store, target.ask if inside else None, fd)
    return time.perf_counter() - began


def measure(directory: str, size: int, piece: int) -> None:
    with tempfile.TemporaryFile(dir=directory) as file, Target(file.fileno()) as target:
        vmas = []
        for number in range(size // piece):
            vma = target.map(piece // PAGE + 1)
            target.fill(vma.start, piece, number)
            vmas.append(vma)
        vmas.sort()
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for inside in times:
                times[inside].append(once(target, vmas, file.fileno(), inside))
        outside, inside_ = (statistics.median(times[k]) for k in (False, True))
        print(
            f"{directory:10} {size >> 10:8} KiB in pieces of {piece >> 10:7} KiB: outside {outside * 1e3:8.2f} ms"
            f" ({size / outside / 2**30:4.1f} GB/s), inside {inside_ * 1e3:8.2f} ms, ratio {inside_ / outside:.2f}"
        )


if __name__ == "__main__":
    for where in sys.argv[1:] or ["/tmp", "/dev/shm"]:
        for kib, piece_kib in (
            (64, 16),
            (256, 64),
            (1024, 64),
            (4096, 64),
            (4096, 4096),
            (16384, 1024),
            (262144, 65536),
        ):
            measure(where, kib << 10, piece_kib << 10)
