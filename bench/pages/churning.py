"""Memory that never rests, uprooted and replanted again and again, in all ways to save it, in turns.

Usage: python bench/pages/churning.py [--rounds 100]

tests/programs/churn.c writes, moves, grows, unmaps, drops and forks in two processes, and knows what each page must
hold.
A round is a dump in one of the ways below, the end of the tree, a restore, and its own verdict on every page.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tests"))

from live.command import replant_json
from live.compile import compiled
from live.namespace import run_isolated
from live.program import Program

CHURN = Path(__file__).parents[2] / "tests" / "programs" / "churn.c"
WAYS = {
    "plain": (),
    "snapshot": ("--snapshot",),
    "incremental": ("--parent", "PARENT"),
    "incremental snapshot": ("--parent", "PARENT", "--snapshot"),
    "rounds": ("--rounds", "3"),
    "incremental rounds": ("--parent", "PARENT", "--rounds", "2"),
}


def one(program: Program, folder: Path, words: tuple[str, ...]) -> dict[str, float]:
    """A round; the report of the dump. An incremental one builds on two others, made one after the other."""
    image = folder / "image"
    if "PARENT" in words:
        first, second = folder / "first", folder / "second"
        replant_json("dump", program.root, "-o", first, "--track", limit=120)
        program.ask()
        replant_json("dump", program.root, "-o", second, "--parent", first, "--track", limit=120)
        program.ask()
        words = tuple(str(second) if word == "PARENT" else word for word in words)
    report: dict[str, float] = replant_json("dump", program.root, "-o", image, *words, limit=120)
    program.kill()
    replant_json("restore", image, "--detach", limit=120)
    program.ask()
    for old in folder.iterdir():
        shutil.rmtree(old)
    return report


def run(rounds: int, folder: Path) -> None:
    (folder / "tree").mkdir()
    (folder / "images").mkdir()
    done: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    began = time.monotonic()
    with Program.start([str(compiled(CHURN, folder))], folder / "tree") as program:
        program.until_ready()
        for number, name in zip(range(rounds), cycle(WAYS), strict=False):
            try:
                done[name].append(one(program, folder / "images", WAYS[name]))
            except (AssertionError, OSError) as error:
                raise AssertionError(f"round {number}, {name}: {error!r}\n{program.output()}") from error
    print(f"{rounds} rounds in {time.monotonic() - began:.0f} s, every page right:")
    for name, reports in done.items():
        kept, written = (sum(r[key] for r in reports) for key in ("pages_kept", "pages_written"))
        print(f"{name:24}{len(reports):4} rounds{written:10.0f} pages written{kept:10.0f} kept by earlier images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        run_isolated(lambda: run(rounds, Path(folder)))


if __name__ == "__main__":
    main()
