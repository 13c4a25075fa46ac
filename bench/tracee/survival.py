"""Kills dumpers at random moments of freeze and asks, as often as told, and sees that the target never notices.

    python bench/tracee/survival.py [DEATHS] [--caught]

``--caught``: the target handles every signal, as Go programs do.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from tracee.support import Target, build, dumper, status_of


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    deaths = numbers[0] if numbers else 5000
    options = ("caught",) if "--caught" in sys.argv else ()
    with tempfile.TemporaryDirectory() as folder:
        target = Target(build(Path(folder)), *options)
        try:
            told = kill_dumpers(target, deaths)
        finally:
            target.kill()
    print(f"{told['killed']} dumpers killed, {told['done']} were faster, {told['refused']} refused; target unharmed")


def kill_dumpers(target: Target, deaths: int) -> dict[str, int]:
    """Let dumpers die, and check the target after each; what became of the dumpers."""
    maps, descriptors = target.maps(), target.descriptors()
    whole = duration(target)
    told = {"killed": 0, "done": 0, "refused": 0}
    while told["killed"] < deaths:
        child = dumper(target.pid)
        time.sleep(random.random() * whole)
        os.kill(child, signal.SIGKILL)
        told[{0: "done", -signal.SIGKILL: "killed"}.get(status_of(child), "refused")] += 1
        target.check()
    target.await_rounds(3)
    assert target.maps() == maps
    assert target.descriptors() == descriptors
    target.end()
    return told


def duration(target: Target) -> float:
    """How long a dumper that is left alone takes."""
    start = time.monotonic()
    assert status_of(dumper(target.pid)) == 0
    return time.monotonic() - start


if __name__ == "__main__":
    main()
