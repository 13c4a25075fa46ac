"""Ten Python workers forked from one, all of which have used what they share: their memory, the image of it, and the
memory after a restore.

python bench/pages/fanout.py [WORKERS ...]

Memory is told twice: what each process has (Rss), summed up, and what all have together, shared pages counted once
(Pss), before the dump and after the restore.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = Path(__file__).parents[2] / "tests" / "pages" / "workers.py"
RUN = "from replant.cli.main import run; run()"


def replant(*words: object) -> dict[str, float]:
    argv = [sys.executable, "-c", RUN, *map(str, words), "--json"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def memory(root: int) -> tuple[float, float]:
    """MiB of private anonymous memory of a process and its children: the sum for each, and of all together."""
    resident = together = 0
    for pid in (str(root), *Path(f"/proc/{root}/task/{root}/children").read_text().split()):
        lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
        values = {name: int(value) for name, value, _ in lines}
        resident += values["Anonymous:"]
        together += values["Pss_Anon:"]
    return resident / 1024, together / 1024


def start(folder: Path, count: int) -> int:
    """A tree of workers that have all used what they share; its root."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True}
    tree = subprocess.Popen([sys.executable, str(WORKERS), str(count)], cwd=folder, **quiet)  # type: ignore[call-overload]
    tree.returncode = 0
    appears(folder / "ready")
    os.kill(tree.pid, signal.SIGUSR1)
    appears(folder / "verdict")
    return int(tree.pid)


def appears(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def end(root: int) -> None:
    os.killpg(root, signal.SIGKILL)
    while Path(f"/proc/{root}").exists():
        try:
            os.waitpid(root, os.WNOHANG)
        except ChildProcessError:
            pass
        time.sleep(0.01)


def measure(folder: Path, count: int) -> None:
    root = start(folder, count)
    for compress in ("none", "lz4", "zstd"):
        image = folder / compress
        resident, together = memory(root)
        report = replant("dump", root, "-o", image, "--compress", compress, "--kill")
        end(root)
        size = sum(file.stat().st_size for file in image.iterdir() if file.name != "journal") / 2**20
        restored = replant("restore", image, "--detach")
        _, after = memory(root)
        print(
            f"{count:4} workers, {compress:5}: rss {resident:7.1f} MiB, image {size:6.1f} MiB, {size / resident:5.1%};"
            f" pss {together:6.1f} MiB, after the restore {after:6.1f}; "
            f"dumped in {report['total_ms']:6.1f} ms, restored in {restored['total_ms']:6.1f}"
        )
    end(root)


if __name__ == "__main__":
    for number in [int(word) for word in sys.argv[1:]] or [10]:
        with tempfile.TemporaryDirectory() as name:
            measure(Path(name), number)
