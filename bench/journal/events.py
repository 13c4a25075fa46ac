"""What an event costs, against the standard library's logging, picologging and loguru, in one run.

    python bench/journal/events.py [--json]

Everybody writes the same two messages to a file on the same file system. Rounds alternate, the median round
counts; the cost of the loop and of the call itself is left in. ``ring`` is the journal as a flight recorder,
``growing`` the journal of a dump, which pays for the pages it fills. ``null`` is the journal nobody opened.
picologging and loguru are left out where they are not installed.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from itertools import repeat
from time import perf_counter_ns

from replant.journal import NULL, Journal, site

ROUNDS = 9
WORDS = "abcdefghijklmnopqrst"
TWO = site("bench.two", "seized %d tasks in %d ns")
TEXT = site("bench.text", "opened %s")

Timed = Callable[[int], int]


def journal(lane: Journal) -> dict[str, Timed]:
    """Both messages as events."""

    def two(count: int) -> int:
        emit = TWO
        start = perf_counter_ns()
        for _ in repeat(None, count):
            emit(lane, 5, 123_456)
        return perf_counter_ns() - start

    def text(count: int) -> int:
        emit = TEXT
        start = perf_counter_ns()
        for _ in repeat(None, count):
            emit(lane, WORDS)
        return perf_counter_ns() - start

    return {"two integers": two, "20 bytes of text": text}


def logger(info: Callable[..., object], two_words: str, text_words: str) -> dict[str, Timed]:
    """Both messages as log records."""

    def two(count: int) -> int:
        start = perf_counter_ns()
        for _ in repeat(None, count):
            info(two_words, 5, 123_456)
        return perf_counter_ns() - start

    def text(count: int) -> int:
        start = perf_counter_ns()
        for _ in repeat(None, count):
            info(text_words, WORDS)
        return perf_counter_ns() - start

    return {"two integers": two, "20 bytes of text": text}


def subjects(place: str) -> dict[str, tuple[int, dict[str, Timed]]]:
    """Who is measured: events a round, and the loops."""
    form = "%(asctime)s %(levelname)s %(message)s"
    handler = logging.FileHandler(f"{place}/stdlib")
    handler.setFormatter(logging.Formatter(form))
    standard = logging.getLogger("bench")
    standard.setLevel(logging.INFO)
    standard.propagate = False
    standard.addHandler(handler)
    words = ("seized %d tasks in %d ns", "opened %s")
    found = {
        "ring": (50_000, journal(Journal.create(f"{place}/ring", ring=1 << 20))),
        "growing": (50_000, journal(Journal.create(f"{place}/growing"))),
        "null": (50_000, journal(NULL)),
        "logging": (3_000, logger(standard.info, *words)),
    }
    try:
        import picologging

        quick = picologging.getLogger("bench")
        quick.setLevel(picologging.INFO)
        handler = picologging.FileHandler(f"{place}/picologging")
        handler.setFormatter(picologging.Formatter(form))
        quick.addHandler(handler)
        found["picologging"] = (5_000, logger(quick.info, *words))
    except ImportError:
        pass
    try:
        from loguru import logger as loguru

        loguru.remove()
        loguru.add(f"{place}/loguru", format="{time} {level} {message}")
        found["loguru"] = (2_000, logger(loguru.info, "seized {} tasks in {} ns", "opened {}"))
    except ImportError:
        pass
    return found


def measure(place: str) -> dict[str, dict[str, float]]:
    """Median ns an event, by subject and message."""
    rounds: dict[tuple[str, str], list[float]] = {}
    who = subjects(place)
    for _ in range(ROUNDS):
        for name, (count, loops) in who.items():
            for message, loop in loops.items():
                rounds.setdefault((name, message), []).append(loop(count) / count)
    found: dict[str, dict[str, float]] = {}
    for (name, message), values in rounds.items():
        found.setdefault(name, {})[message] = statistics.median(values)
    return found


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as place:
        found = measure(place)
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for message in ("two integers", "20 bytes of text"):
        base = found["ring"][message]
        print(message)
        for name, values in found.items():
            print(f"  {name:<12}{values[message]:8.0f} ns   {values[message] / base:6.1f} x the ring")


if __name__ == "__main__":
    main()
