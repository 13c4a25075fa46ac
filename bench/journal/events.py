"""What an event costs, against the standard library's logging, picologging and loguru, in one run.

    python bench/journal/events.py [--json]

Everybody writes the same two messages to a file on the same file system. Rounds of some milliseconds alternate, so that
what else the machine does falls on few of them; the median round counts. Beside it stands the processor time of the
median round: where both are the same, the machine did nothing else. The cost of the loop and of the call is left
in. ``ring`` is the journal as a flight recorder, ``growing`` that of a dump, which pays for the pages it fills: a
round fills as many blocks as a busy lane takes at once. ``null`` is the journal nobody opened. picologging and loguru
are left out where they are not installed.
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
from time import perf_counter_ns, thread_time_ns

from replant.journal import NULL, Journal, site
from replant.journal.layout import SLOTS

ROUNDS = 60
EVENTS = 16 * (SLOTS - 1)
"""In a round of a journal."""
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
        "ring": (EVENTS, journal(Journal.create(f"{place}/ring", ring=1 << 20))),
        "growing": (EVENTS, journal(Journal.create(f"{place}/growing"))),
        "null": (EVENTS, journal(NULL)),
        "logging": (400, logger(standard.info, *words)),
    }
    try:
        import picologging

        quick = picologging.getLogger("bench")
        quick.setLevel(picologging.INFO)
        handler = picologging.FileHandler(f"{place}/picologging")
        handler.setFormatter(picologging.Formatter(form))
        quick.addHandler(handler)
        found["picologging"] = (800, logger(quick.info, *words))
    except ImportError:
        pass
    try:
        from loguru import logger as loguru

        loguru.remove()
        loguru.add(f"{place}/loguru", format="{time} {level} {message}")
        found["loguru"] = (200, logger(loguru.info, "seized {} tasks in {} ns", "opened {}"))
    except ImportError:
        pass
    return found


def measure(place: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Ns an event, and ns of processor time, in median rounds, by subject and message."""
    rounds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    who = subjects(place)
    for _ in range(ROUNDS):
        for name, (count, loops) in who.items():
            for message, loop in loops.items():
                began = thread_time_ns()
                took = loop(count)
                spent = thread_time_ns() - began
                rounds.setdefault((name, message), []).append((took / count, spent / count))
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for (name, message), values in rounds.items():
        wall, processor = zip(*values, strict=True)
        found.setdefault(name, {})[message] = statistics.median(wall), statistics.median(processor)
    return found


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as place:
        found = measure(place)
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for message in ("two integers", "20 bytes of text"):
        ring, growing = found["ring"][message][1], found["growing"][message][1]
        print(f"{message:<18}  time  processor")
        for name, values in found.items():
            wall, processor = values[message]
            ratios = f"{processor / ring:6.1f} x ring {processor / growing:6.1f} x growing"
            print(f"  {name:<12}{wall:8.0f} ns{processor:8.0f} ns {ratios}")


if __name__ == "__main__":
    main()
