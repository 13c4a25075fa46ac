"""How fast a journal is read and filtered: ten million events by default.

    python bench/journal/reading.py [EVENTS]

One event in a hundred is of the kind that is asked for. ``scan`` verifies and reads every block and decodes the
chosen events, ``pid`` filters by a decoded argument, ``all`` decodes every event, ``text`` renders the chosen ones.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from time import perf_counter

from replant.journal import Journal, site
from replant.journal.reader import Reader
from replant.journal.render import Renderer
from replant.journal.select import Selection

MANY = site("bench.many", "%d of %d")
FEW = site("bench.few", "task %p at %d")


def write(path: str, count: int) -> float:
    """Write ``count`` events; seconds."""
    many, few = MANY, FEW
    start = perf_counter()
    with Journal.create(path) as journal:
        for number in range(0, count, 100):
            few(journal, number % 1000, number)
            for other in range(99):
                many(journal, number, other)
    return perf_counter() - start


def timed(path: str, what: Callable[[Reader], Iterable[object]]) -> tuple[float, int]:
    """Seconds from opening the journal to the last result, and how many there were."""
    start = perf_counter()
    with Reader(path) as reader:
        found = sum(1 for _ in what(reader))
    return perf_counter() - start, found


def lines(reader: Reader) -> Iterable[str]:
    """The chosen events as text."""
    renderer = Renderer(reader.header)
    chosen = Selection(kinds=["bench.few"])
    return (line for event in chosen.events(reader) for line in chosen.lines(event, renderer))


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as place:
        path = f"{place}/journal"
        print(f"written   {count / write(path, count) / 1e6:6.2f} million/s, {os.path.getsize(path) >> 20} MiB")
        ways: dict[str, Callable[[Reader], Iterable[object]]] = {
            "scan": lambda reader: Selection(kinds=["bench.few"]).events(reader),
            "pid": lambda reader: Selection(kinds=["bench.few"], pids=[0]).events(reader),
            "text": lines,
            "all": lambda reader: reader.events(),
        }
        for name, way in ways.items():
            seconds, found = timed(path, way)
            print(f"{name:<10}{count / seconds / 1e6:6.2f} million/s, {found} found in {seconds:.1f} s")


if __name__ == "__main__":
    main()
