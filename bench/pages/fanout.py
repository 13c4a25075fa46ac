"""Ten Python workers forked from one, all of which have used what they share: their memory, and the image of it.

python bench/pages/fanout.py [WORKERS ...]
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


def measure(folder: Path, count: int) -> None:
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True}
    tree = subprocess.Popen([sys.executable, str(WORKERS), str(count)], cwd=folder, **quiet)  # type: ignore[call-overload]
    while not (folder / "ready").exists():
        time.sleep(0.01)
    os.kill(tree.pid, signal.SIGUSR1)
    while not (folder / "verdict").exists():
        time.sleep(0.01)
    for compress in ("none", "lz4", "zstd"):
        image = folder / compress
        report = replant("dump", tree.pid, "-o", image, "--compress", compress)
        memory = report["pages_written"] * 4096
        size = sum(file.stat().st_size for file in image.iterdir() if file.name != "journal")
        print(
            f"{count:4} workers, {compress:5}: memory {memory / 2**20:7.1f} MiB, image {size / 2**20:6.1f} MiB, "
            f"{size / memory:5.1%}; stopped {report['frozen_ms']:6.1f} of {report['total_ms']:6.1f} ms"
        )
    os.killpg(tree.pid, signal.SIGKILL)
    tree.wait()


if __name__ == "__main__":
    for number in [int(word) for word in sys.argv[1:]] or [10]:
        with tempfile.TemporaryDirectory() as name:
            measure(Path(name), number)
