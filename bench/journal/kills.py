"""``kill -9`` at random moments while four processes write one journal: what is lost, and what is false.

    python bench/journal/kills.py [TURNS]

Every writer says over a pipe which event it has completed. After the kill the journal must hold at
least those of each writer, in order, each exactly as it was written; the latest may be one that was not said yet.
Half of the turns write a ring, so that old events are being overwritten at the moment of the kill.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import tempfile
import time

from replant.journal import Journal, site
from replant.journal.layout import BLOCK
from replant.journal.reader import Reader

WRITERS = 4
NUMBER = site("bench.number", "%d %d")
WORDS = site("bench.words", "%d %s")


def write(journal: Journal, said: int) -> None:
    """Events of three shapes for ever; the number of the last complete round goes into a shared pipe."""
    number = 0
    while True:
        NUMBER(journal, number, -number)
        WORDS(journal, number, f"<{number}>" * (number % 20))
        journal.batch(number, number, number.to_bytes(8, "little") * 8 * (number % 5))
        number += 1
        os.write(said, number.to_bytes(8, "little"))


def turn(path: str, ring: int, seed: int) -> tuple[int, int, int]:
    """Rounds surely written, events found, and of those how many are false or missing."""
    chance = random.Random(seed)
    journal = Journal.create(path, ring=ring)
    writers: dict[int, int] = {}
    for _ in range(WRITERS):
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            write(journal, writing)
        os.close(writing)
        writers[pid] = reading
    surely = dict.fromkeys(writers, 0)
    deadline = time.monotonic() + chance.uniform(0.001, 0.02)
    while time.monotonic() < deadline or not any(surely.values()):
        hear(writers, surely)
    for pid in writers:
        os.kill(pid, signal.SIGKILL)
    for pid in writers:
        os.waitpid(pid, 0)
    hear(writers, surely)
    for pipe in writers.values():
        os.close(pipe)
    found, wrong = compare(path, surely, bool(ring))
    journal.close()
    return sum(surely.values()), found, wrong


def hear(writers: dict[int, int], surely: dict[int, int]) -> None:
    """Take what the writers said, without waiting."""
    for pid, pipe in writers.items():
        while select.select([pipe], [], [], 0)[0] and (data := os.read(pipe, 65536)):
            surely[pid] = int.from_bytes(data[-8:], "little")


def compare(path: str, surely: dict[int, int], ring: bool) -> tuple[int, int]:
    """Events in the journal, and how many are not as they were written, or are not there."""
    told: dict[int, list[int]] = {pid: [] for pid in surely}
    count = wrong = 0
    with Reader(path) as reader:
        for event in reader.events():
            count += 1
            if event.site.kind == "bench.number":
                told[event.lane.pid].append(int(event.args[0]))
                wrong += event.args[1] != -int(event.args[0])
            elif event.site.kind == "bench.words":
                number = int(event.args[0])
                wrong += event.args[1] != b"<%d>" % number * (number % 20)
            elif event.site.kind == "call":
                number = event.pid  # type: ignore[attr-defined]
                wrong += event.records != number.to_bytes(8, "little") * 8 * (number % 5)  # type: ignore[attr-defined]
    for pid, numbers in told.items():
        first = numbers[0] if ring and numbers else 0
        wrong += numbers != list(range(first, first + len(numbers))) or first + len(numbers) < surely[pid]
    return count, wrong


def main() -> None:
    """Run the turns and print the sums."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = found = wrong = 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as place:
        for number in range(turns):
            sums = turn(f"{place}/journal", 2 * BLOCK * (number % 2), number)
            rounds, found, wrong = rounds + sums[0], found + sums[1], wrong + sums[2]
            os.unlink(f"{place}/journal")
    print(
        f"{turns} kills of {WRITERS} writers: {rounds} rounds completed, {found} events read, {wrong} false or missing"
    )
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
