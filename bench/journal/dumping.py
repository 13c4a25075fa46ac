"""What the complete journal adds to a dump, against one in which nothing of the journal is left.

    python bench/journal/dumping.py [--runs 40] [--cases small,vmas,procs500] [--json]

One tree stands there the whole time and is dumped, with and without, in turns; it runs on afterwards. ``without``
is what a compiler would leave out: no file, no site, no batch kept, no phase timed; what remains are calls of a
function that does nothing. Both ways are a process that has dumped before and dumps again, so that the start of an
interpreter is not in the figures. Every figure is a median, every ratio the median of the ratios of two dumps that
follow each other, so that a machine that gets slower for a while does so for both. ``cpu`` is processor time, which
others on the machine disturb least.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
CASES = {"small": ["small"], "vmas": ["vmas", "10000"], "procs500": ["procs", "500"], "procs100": ["procs", "100"]}
NAMES = ("total", "frozen", "cpu")
DUMPING = """
import json, sys, time
import replant
for image in map(str.rstrip, sys.stdin):
    began = time.process_time_ns()
    report = replant.dump(int(sys.argv[1]), image)
    print(json.dumps([report.total_ms, report.frozen_ms, (time.process_time_ns() - began) / 1e6]), flush=True)
"""
WITHOUT = """
import replant.journal as journal
from replant.journal import known, lane, sites
class Phase:
    def __enter__(self): pass
    def __exit__(self, *exc): pass
phase, nothing = Phase(), lambda *args, **named: None
journal.site = sites.site = lambda *args, **named: nothing
for name, value in list(vars(known).items()):
    if name.isupper() and callable(value): setattr(known, name, nothing)
lane.Lane.batch = lane.Lane.failure = nothing
lane.Lane.phase = lambda self, name: phase
from replant.flows import recording
recording._made = lambda run, inside: journal.NULL
"""


def start(program: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    null = subprocess.DEVNULL
    tree = subprocess.Popen(
        [program, *arguments], stdin=null, stdout=subprocess.PIPE, stderr=null, start_new_session=True
    )
    assert tree.stdout is not None
    if tree.stdout.readline() != b"ready\n":
        raise SystemExit(f"{program} {arguments} did not start")
    tree.stdout.close()
    return tree


def dumper(code: str, pid: int) -> subprocess.Popen[str]:
    """A process that dumps ``pid`` into every image it is told of."""
    command = [sys.executable, "-c", code, str(pid)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def dump(by: subprocess.Popen[str], image: Path) -> list[float]:
    """Milliseconds of one dump: from its beginning to its end, of the freeze, of the processor."""
    assert by.stdin is not None and by.stdout is not None
    by.stdin.write(f"{image}\n")
    by.stdin.flush()
    said = by.stdout.readline()
    shutil.rmtree(image)
    return [float(figure) for figure in json.loads(said)]


def measure(program: Path, case: str, runs: int, folder: Path) -> dict[str, list[float]]:
    """By name: the median with the journal, the median without, the median of the ratios."""
    tree, image = start(program, CASES[case]), folder / "image"
    ways = [dumper(DUMPING, tree.pid), dumper(WITHOUT + DUMPING, tree.pid)]
    pairs: list[list[list[float]]] = []
    try:
        for run in range(runs + 2):
            found: list[list[float]] = [[], []]
            for which in (0, 1) if run % 2 else (1, 0):
                found[which] = dump(ways[which], image)
            if run > 1:  # the first ones warm caches
                pairs.append(found)
    finally:
        for way in ways:
            way.communicate()
        os.killpg(tree.pid, signal.SIGKILL)
        tree.wait()
    rows = {}
    for i, name in enumerate(NAMES):
        both = [(a[i], b[i]) for a, b in pairs]
        rows[name] = [median(a for a, _ in both), median(b for _, b in both), median(a / b for a, b in both)]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="replant-bench-", dir=os.environ.get("BENCH_DIR")) as name:
        program = Path(name) / "load"
        source = HERE.parent / "programs/load.c"
        subprocess.run(["gcc", "-O2", "-pthread", "-o", program, source], check=True)
        found = {case: measure(program, case, options.runs, Path(name)) for case in options.cases.split(",")}
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'':10}" + "".join(f"{name:>26}" for name in NAMES))
    for case, rows in found.items():
        cells = [f"{a:9.1f} {b:7.1f} ms {ratio:5.3f}x" for a, b, ratio in rows.values()]
        print(f"{case:10}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
