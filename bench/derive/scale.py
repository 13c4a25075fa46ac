"""Realistic trees of up to a million tasks: time and memory of one derivation, and of chains 100,000 deep.

    python bench/derive/scale.py --tasks 100000 1000000

A realistic tree: services that lead sessions, some of them daemons (their session's leader is gone, orphans of a
subreaper or of the init), shells with pipelines in groups, workers; a few zombies. Each size runs in its own process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from random import Random

from replant.derive import process_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    Task = dict[str, object]


def realistic(rng: Random, size: int) -> list[Task]:
    """About ``size`` tasks, families of 3 to 40 below the init or a service manager that is a subreaper."""
    tasks: list[Task] = []
    numbers = iter(range(2, 1 << 30))

    def add(ppid: int, pgid: int, sid: int, state: str = "S", subreaper: bool = False) -> int:
        pid = next(numbers)
        tasks.append(
            {"pid": pid, "ppid": ppid, "pgid": pgid or pid, "sid": sid or pid, "state": state, "subreaper": subreaper}
        )
        return pid

    managers = [add(1, 0, 0, subreaper=True) for _ in range(3)]
    while len(tasks) < size:
        over = rng.choice((1, 1, *managers))
        kind = rng.random()
        if kind < 0.3:  # a daemon: its session's leader ended after the second fork
            gone = next(numbers)
            main = add(over, gone, gone)
            for _ in range(rng.randrange(12)):
                add(main, gone, gone)
        elif kind < 0.6:  # a service with workers, some of them in groups of their own
            main = add(over, 0, 0)
            for _ in range(rng.randrange(30)):
                add(main, main, main, "Z" if rng.random() < 0.02 else "S")
        else:  # a shell with jobs: pipelines, each a group
            shell = add(over, 0, 0)
            for _ in range(rng.randrange(1, 5)):
                first = add(shell, 0, shell)
                for _ in range(rng.randrange(4)):
                    add(shell, first, shell)
                if rng.random() < 0.2:
                    add(first, first, shell)
    return tasks


def chain(size: int) -> list[Task]:
    """One child each, every third a session leader."""
    tasks: list[Task] = []
    session = 1
    for pid in range(2, size + 2):
        session = pid if pid % 3 == 0 else session
        tasks.append({"pid": pid, "ppid": pid - 1, "pgid": session, "sid": session})
    return tasks


def measure(size: int, kind: str) -> None:
    """One derivation in this process; prints its time, without and with what else the machine did, and memory."""
    tree = chain(size) if kind == "chain" else realistic(Random(1), size)
    began, busy = time.perf_counter(), time.process_time()
    found = process_tree(tree)
    spent, busy = time.perf_counter() - began, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    each = busy / len(tree) * 1e6
    print(f"{kind}: {len(tree)} tasks, {len(found.ops)} operations, ok={found.ok}")
    print(f"    {spent:.2f} s, {busy:.2f} s of processor, {each:.2f} us a task, {peak:.2f} GB", flush=True)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--tasks", type=int, nargs="*", default=[100_000, 1_000_000])
    words.add_argument("--one", default="")
    given = words.parse_args()
    if given.one:
        measure(given.tasks[0], given.one)
        return
    for size in given.tasks:
        subprocess.run([sys.executable, __file__, "--tasks", str(size), "--one", "realistic"], check=True)
    subprocess.run([sys.executable, __file__, "--tasks", "100000", "--one", "chain"], check=True)


if __name__ == "__main__":
    main()
