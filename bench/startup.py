"""How long the command takes until it does its first useful thing, as ratios to a bare interpreter.

    python bench/startup.py [--runs 25]

A dump's first useful system call makes the directory of the image, a restore's opens the image's manifest. The function
of ``os`` that makes the call is replaced by one that tells the time and ends the process. CPU time is from the making
of the process on (CLOCK_PROCESS_CPUTIME_ID); on a machine that does other work, trust it and the minima more than wall
time and medians. Cases take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SOURCE = Path(__file__).parents[1] / "src"
TELL = "import time, posix; print(time.process_time_ns(), time.monotonic_ns(), flush=True); posix._exit(0)"
HOOK = f"""
import os, sys
call = os.{{call}}
def stop(path, *rest, **named):
    if {{word!r}} in path:
        {TELL}
    return call(path, *rest, **named)
os.{{call}} = stop
{{prepare}}
from replant.cli.main import run
run()
"""
VERSION = f"""
from replant.cli import main
try:
    main._dispatch(["--version"])
except main.HelpWanted:
    {TELL}
"""
#: what stands before the import: the three ways to load modules
WAYS = {
    "": "",
    ", no bundle": "import replant._load as l; l.together = lambda what, load: load()",
    ", importlib alone": "import replant._load as l; l.together = lambda what, load: load(); sys.meta_path.pop(0)",
}


def cases(folder: Path) -> dict[str, list[str]]:
    python = sys.executable
    found = {
        "python -I -S": [python, "-I", "-S", "-c", TELL],
        "python": [python, "-c", TELL],
        "python, import json": [python, "-c", f"import json; {TELL}"],
    }
    found["replant --version"] = [python, "-c", VERSION]
    for way, prepare in WAYS.items():
        dump = HOOK.format(call="mkdir", word=".partial-", prepare=prepare)
        restore = HOOK.format(call="open", word="manifest.json", prepare=prepare)
        found[f"dump{way}"] = [python, "-c", dump, "dump", str(os.getpid()), "-o", str(folder / "image")]
        found[f"restore{way}"] = [python, "-c", restore, "restore", str(folder / "none"), "--detach"]
    return found


def once(command: list[str]) -> tuple[float, float]:
    """CPU and wall milliseconds until the process told its times."""
    began = time.monotonic_ns()
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    try:
        cpu, at = map(int, done.stdout.split())
    except ValueError:
        raise SystemExit(f"{command} did not come to its point: {done.stdout}{done.stderr}") from None
    return cpu / 1e6, (at - began) / 1e6


def environment() -> dict[str, str]:
    """Ours, with this tree's package, and with bytecode written as where the package is installed."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(SOURCE)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=25)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="replant-bench-") as name:
        commands = cases(Path(name))
        for command in commands.values():  # fills caches
            once(command)
        rows: dict[str, list[tuple[float, float]]] = {case: [] for case in commands}
        for _ in range(runs):
            for case, command in commands.items():
                rows[case].append(once(command))
    bare = min(cpu for cpu, _ in rows["python -I -S"])
    print("| until its first useful call | CPU ms, least | median | wall ms, least | median | CPU, of bare |")
    print("|---|---|---|---|---|---|")
    for case, times in rows.items():
        cpu, wall = zip(*times, strict=True)
        print(
            f"| {case} | {min(cpu):.1f} | {median(cpu):.1f} | {min(wall):.1f} | {median(wall):.1f} "
            f"| {min(cpu) / bare:.2f} |"
        )


if __name__ == "__main__":
    main()
