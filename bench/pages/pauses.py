"""How long a tree stands still: a plain dump and others of the same program, in turns, as ratios.

Usage: python bench/pages/pauses.py [--mib 1024] [--runs 5] [--huge] [--where DIRECTORY]

The program holds so much memory, in pages of 4 KiB or in huge ones, and writes to the same 5 % of it every 50 ms.
Memory is touched and freed before, so that no page comes from a host that has taken it back.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

WRITER = """
import ctypes, mmap, sys, time
size, advice = int(sys.argv[1]) << 20, int(sys.argv[2])
area = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(advice)
word = b"x" * 4096
for at in range(0, size, 4096):
    area[at:at + 4096] = word
print("ready", flush=True)
turn = 0
while True:
    turn += 1
    for page in range(0, size // 20, 4096):
        area[page] = turn & 255
    time.sleep(0.05)
"""
WAYS = {
    "plain": (),
    "--snapshot": ("--snapshot",),
    "--rounds 3": ("--rounds", "3"),
    "--parent": ("--parent", "BASE"),
}
RUN = [sys.executable, "-c", "from replant.cli.main import run; run()"]


def warm(mib: int) -> None:
    with mmap.mmap(-1, mib << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        for at in range(0, mib << 20, 4096):
            area[at] = 1


def writer(mib: int, huge: bool) -> subprocess.Popen[bytes]:
    advice = mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE
    words = [sys.executable, "-c", WRITER, str(mib), str(advice)]
    with open(os.devnull) as null:
        program = subprocess.Popen(words, stdin=null, stdout=subprocess.PIPE, stderr=null, start_new_session=True)
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    return program


def dump(pid: int, image: str, *words: str) -> dict[str, float]:
    shutil.rmtree(image, ignore_errors=True)
    done = subprocess.run(
        [*RUN, "dump", str(pid), "-o", image, "--json", "--outside", "close", *words],
        check=True,
        capture_output=True,
    )
    report: dict[str, float] = json.loads(done.stdout)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--where", default="/dev/shm")
    options = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    warm(4 * options.mib)
    program = writer(options.mib, options.huge)
    try:
        with tempfile.TemporaryDirectory(dir=options.where) as folder:
            for _ in range(options.runs):
                for name, words in WAYS.items():
                    if "--parent" in words:
                        dump(program.pid, f"{folder}/base", "--track")
                    words = tuple(f"{folder}/base" if word == "BASE" else word for word in words)
                    rows[name].append(dump(program.pid, f"{folder}/image", *words))
    finally:
        program.kill()
        program.wait()
    tell(rows)


def tell(rows: dict[str, list[dict[str, float]]]) -> None:
    print(f"{'':12}{'frozen ms':>12}{'(least)':>10}{'ratio':>8}{'total ms':>10}{'written MiB':>12}{'twice MiB':>10}")
    plain = statistics.median(r["frozen_ms"] for r in rows["plain"])
    for name, found in rows.items():
        frozen = [r["frozen_ms"] for r in found]
        total, pages, twice = (
            statistics.median(r[key] for r in found) for key in ("total_ms", "pages_written", "copies_bytes")
        )
        print(
            f"{name:12}{statistics.median(frozen):12.1f}{min(frozen):10.1f}{statistics.median(frozen) / plain:8.3f}"
            f"{total:10.0f}{pages / 256:12.1f}{twice / 2**20:10.1f}"
        )
    longest = statistics.median(r["rounds_frozen_ms"] for r in rows["--rounds 3"])
    print(f"longest pause of a round before the last one: {longest:.1f} ms")


if __name__ == "__main__":
    main()
