"""workers.py COUNT: a Python with a table of many objects, and forked workers that use it and change a little."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "programs"))

import selfcheck

table = [str(n) * 3 for n in range(60_000)]
names = {text: n for n, text in enumerate(table)}
workers: list[tuple[int, int, int]] = []


def work(requests: int, answers: int) -> None:
    """Sum up what is in the table, which counts references and so writes to every object; and add to it."""
    own = {}
    while word := os.read(requests, 8):
        own[len(own)] = word
        total = sum(map(len, table)) + sum(names.values()) + int.from_bytes(word, "little")
        os.write(answers, (total + len(own)).to_bytes(8, "little"))
    os._exit(0)


def start() -> None:
    (theirs, ours), (mine, them) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        for _, out, into in workers:
            os.close(out)
            os.close(into)
        os.close(ours)
        os.close(mine)
        work(theirs, them)
    os.close(theirs)
    os.close(them)
    workers.append((pid, ours, mine))


turns = 0


def check() -> None:
    global turns
    turns += 1
    wanted = sum(map(len, table)) + sum(names.values())
    for n, (_, ours, mine) in enumerate(workers):
        os.write(ours, n.to_bytes(8, "little"))
        assert int.from_bytes(os.read(mine, 8), "little") == wanted + n + turns, f"worker {n}"


for _ in range(int(sys.argv[1])):
    start()
selfcheck.serve(check)
