"""Frozen time and system calls of whole dumps, with what the tree is told of by BPF and by procfs, in turns.

    python bench/observe/dumped.py [--runs 9] [--cases threads,procs200]

The trees are those of ``bench/dump_restore.py``, which live on. ``procfs`` is the same dump with the thresholds from
which BPF is asked out of reach. System calls are those of the dump and its children (strace).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from dump_restore import CASES, build, calls, end, start, timed

RUN = "from replant.cli.main import run; run()"
WAYS = {
    "procfs": "from replant.flows import facts; "
    "facts._MANY_MAPPINGS = facts._MANY_FILES = facts._MANY_THREADS = 1 << 60; " + RUN,
    "BPF": RUN,
}


def measure(program: Path, arguments: list[str], runs: int, folder: Path) -> dict[str, tuple[float, float, int | None]]:
    """By way: wall and frozen milliseconds of a dump (medians), and its system calls."""
    tree = start(program, arguments)
    rows: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    counts = {}
    image = folder / "image"
    try:
        for turn in range(runs + 1):
            for way, code in WAYS.items():
                shutil.rmtree(image, ignore_errors=True)
                command = [sys.executable, "-c", code, "dump", str(tree.pid), "-o", str(image), "--json"]
                if turn == runs:
                    counts[way] = calls(command)
                else:
                    wall, _, report = timed(command)
                    rows[way].append((wall, float(str(report["frozen_ms"]))))
    finally:
        end(tree.pid)
        tree.wait()
    return {way: (median(w for w, _ in rows[way]), median(f for _, f in rows[way]), counts[way]) for way in WAYS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--cases", default="small,threads,fds,vmas,procs200")
    options = parser.parse_args()
    print(f"{'':10}{'procfs: dump':>14}{'frozen':>9}{'calls':>8}{'BPF: dump':>14}{'frozen':>9}{'calls':>8}")
    with tempfile.TemporaryDirectory(prefix="replant-bench-") as name:
        program = build(Path(name))
        for case in options.cases.split(","):
            found = measure(program, CASES[case][0], options.runs, Path(name))
            cells = [f"{wall:14.1f}{frozen:9.1f}{count or 0:8}" for wall, frozen, count in found.values()]
            print(f"{case:10}{''.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
