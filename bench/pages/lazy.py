"""A lazy restore beside a full one: when the tree runs, when all is loaded.

    python bench/pages/lazy.py [--runs 5] [MIB ...]

One image, restored in turns both ways in one run, after touching and freeing the memory that it needs (the pages of a
virtual machine that were given back to its host come slowly). ``runs`` is what the command says of itself, without the
start of the interpreter; ``wall`` and ``loaded`` are from the start of the command, until it returned and until the
process that brings pages was gone. ``cpu`` is the processor time of all that takes part: the measure for a machine
on which others work too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SOURCE = Path(__file__).parents[1] / "programs" / "load.c"
RUN = "from replant.cli.main import run; run()"


def replant(*words: object) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, words), "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def warm(mebibytes: int) -> None:
    code = "import mmap, sys\na = mmap.mmap(-1, int(sys.argv[1]) << 20)\nfor i in range(0, len(a), 4096): a[i] = 1"
    subprocess.run([sys.executable, "-c", code, str(mebibytes)], check=True)


def processor() -> float:
    """Seconds of the processor that children and orphans have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def once(image: Path, mebibytes: int, lazy: bool) -> tuple[float, float, float, float]:
    """Milliseconds: the command's own, its wall, until loaded; of the processor."""
    warm(mebibytes)
    before, began = processor(), time.perf_counter()
    report = replant("restore", image, "--detach", *(["--lazy", "--working-set", "null"] if lazy else []))
    root = int(report["root_pid"])
    wall = time.perf_counter() - began
    if lazy:
        while os.waitpid(-1, 0)[0] == root:  # the other orphan is the process that brings pages
            pass
    loaded = time.perf_counter() - began
    os.kill(root, signal.SIGKILL)
    os.waitpid(root, 0)
    return report["total_ms"], wall * 1e3, loaded * 1e3, (processor() - before) * 1e3


def measure(folder: Path, mebibytes: int, runs: int) -> None:
    program = folder / "load"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", program, SOURCE], check=True)
    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    child = subprocess.Popen([program, "heap", str(mebibytes)], stdout=subprocess.PIPE, **quiet)  # type: ignore[call-overload]
    assert child.stdout.readline() == b"ready\n"
    child.stdout.close()
    image = folder / "image"
    replant("dump", child.pid, "-o", image, "--kill")
    child.wait()
    rows = [(once(image, mebibytes, False), once(image, mebibytes, True)) for _ in range(runs)]
    full, lazily = ([median(column) for column in zip(*side, strict=True)] for side in zip(*rows, strict=True))
    print(
        f"{mebibytes:5} MiB  full: {full[1]:7.1f} ms   lazy: runs {lazily[0]:6.1f}  wall {lazily[1]:6.1f}  "
        f"loaded {lazily[2]:7.1f} ms   lazy/full: wall {lazily[1] / full[1]:5.2f}  loaded {lazily[2] / full[1]:5.2f}  "
        f"cpu {lazily[3] / full[3]:5.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("sizes", type=int, nargs="*", default=[64, 256, 1024])
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            measure(Path(name), size, options.runs)
