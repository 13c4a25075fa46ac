"""`kill -9` of ``replant dump`` and of ``replant restore`` at random moments: who is harmed, and what is left.

    python bench/kills.py [KILLS] [SEED]

The target is a small tree (threads, a pipe with data, a dead child, a session of its own) that checks itself after each
killed dump. A killed restore may leave the whole tree, which is checked as well, or nothing at all.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faults.killing import kill_dumps, kill_restores
from faults.support import family
from live.namespace import run_isolated


def dumps(kills: int, seed: int) -> None:
    """Kill dumps of one and the same tree."""
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.monotonic()
        with family(folder) as program:
            killed = kill_dumps(program, folder / "image", kills, seed)
        took = time.monotonic() - began
        print(f"{kills} dumps, {killed} killed in time: the tree never noticed ({took:.0f} s)", flush=True)


def restores(kills: int, seed: int) -> None:
    """Kill restores of one and the same image."""
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        whole = kill_restores(Path(name), kills, seed)
        took = time.monotonic() - began
        print(f"{kills} restores killed: {whole} times the whole tree, else nothing ({took:.0f} s)", flush=True)


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    kills, seed = (*numbers, *(500, int(time.time()))[len(numbers) :])
    print(f"seed {seed}", flush=True)
    run_isolated(lambda: dumps(kills, seed))
    run_isolated(lambda: restores(kills, seed))


if __name__ == "__main__":
    main()
