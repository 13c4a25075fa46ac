"""Wall, frozen time, system calls and peak memory of a dump and a restore, for trees of many shapes.

    python bench/dump_restore.py [--runs 7] [--cases small,threads] [--json]

Every run starts the program, dumps it with ``--kill``, restores it with ``--detach`` and ends it. Medians; memory is
touched before, since freed memory of a virtual machine is slow at its first touch. The reference figures are those of
the most used tool of the field (version 4.2) on a machine of this kind: only ratios mean anything elsewhere.
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
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
#: name: (arguments of load, reference wall of dump, frozen, wall of restore; milliseconds)
CASES = {
    "small": (["small"], 52, 2.7, 43),
    "threads": (["threads", "200"], 106, 50, 84),
    "fds": (["fds", "1000"], 74, 23, 48),
    "vmas": (["vmas", "10000"], 153, 105, 79),
    "procs200": (["procs", "200"], 371, 312, 460),
    "procs500": (["procs", "500"], 1027, 924, 1048),
    "heap256": (["heap", "256"], 149, 105, 156),
    "heap1024": (["heap", "1024"], 478, 428, 459),
}


def build(folder: Path) -> Path:
    program = folder / "load"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", program, HERE / "programs/load.c"], check=True)
    return program


def warm(mebibytes: int) -> None:
    """Touch and free memory, in another process: the peak of ours would be told as that of our children."""
    code = "import mmap, sys\na = mmap.mmap(-1, int(sys.argv[1]) << 20)\nfor i in range(0, len(a), 4096): a[i] = 1"
    subprocess.run([sys.executable, "-c", code, str(mebibytes)], check=True)


def start(program: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    if child.stdout.readline() != b"ready\n":
        raise SystemExit(f"{program} {arguments} did not start")
    child.stdout.close()
    return child


def timed(command: list[str]) -> tuple[float, int, dict[str, object]]:
    """Wall milliseconds, peak resident KiB, and what the command printed."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = (time.perf_counter() - began) * 1e3
    if status:
        raise SystemExit(f"{command} failed: {child.stderr.read().decode()}")
    return wall, usage.ru_maxrss, json.loads(out)


def end(pid: int) -> None:
    """End a restored tree: it is no child of ours, and its descendants die with it or are killed one by one."""
    tree = [pid, *descendants(pid)]
    for each in tree:
        os.kill(each, signal.SIGKILL)
    while any(Path(f"/proc/{each}").exists() and state(each) not in "ZX" for each in tree):
        time.sleep(0.001)


def descendants(pid: int) -> list[int]:
    try:
        children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return children + [d for c in children for d in descendants(c)]


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"


def calls(command: list[str]) -> int | None:
    """System calls of a command and its children, by strace where it is installed."""
    if shutil.which("strace") is None:
        return None
    with tempfile.NamedTemporaryFile("r") as f:
        subprocess.run(
            ["strace", "-f", "-c", "-U", "calls", "-o", f.name, *command], check=True, stdout=subprocess.DEVNULL
        )
        return int(f.read().split("\n")[-2].split()[-2])


def measure(program: Path, case: str, runs: int, folder: Path) -> dict[str, float]:
    arguments, *_ = CASES[case]
    replant = [sys.executable, "-m", "replant"] if "--module" in sys.argv else ["replant"]
    rows = []
    for run in range(runs + 1):
        warm(300 + 3 * int(arguments[1]) if arguments[0] == "heap" else 300)
        child = start(program, arguments)
        image = folder / f"{case}-{run}"
        dump_ms, dump_kib, dumped = timed([*replant, "dump", str(child.pid), "-o", str(image), "--kill", "--json"])
        child.wait()
        restore_ms, restore_kib, restored = timed([*replant, "restore", str(image), "--detach", "--json"])
        end(int(str(restored["root_pid"])))
        shutil.rmtree(image)
        if run:  # the first one warms caches
            rows.append((dump_ms, float(str(dumped["frozen_ms"])), restore_ms, dump_kib, restore_kib))
    names = ("dump", "frozen", "restore", "dump_kib", "restore_kib")
    return {name: median(row[i] for row in rows) for i, name in enumerate(names)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--module", action="store_true", help="run python -m replant instead of the command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="replant-bench-") as name:
        folder = Path(name)
        program = build(folder)
        results = {case: measure(program, case, options.runs, folder) for case in options.cases.split(",")}
    if options.json:
        print(json.dumps(results))
        return
    print("| case | dump ms | ratio | frozen ms | ratio | restore ms | ratio | peak MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for case, r in results.items():
        _, dump, frozen, restore = CASES[case]
        peak = max(r["dump_kib"], r["restore_kib"]) / 1024
        print(
            f"| {case} | {r['dump']:.1f} | {r['dump'] / dump:.2f} | {r['frozen']:.1f} | {r['frozen'] / frozen:.2f} "
            f"| {r['restore']:.1f} | {r['restore'] / restore:.2f} | {peak:.0f} |"
        )


if __name__ == "__main__":
    main()
