"""Whatever becomes of a writer, what it completed is readable, and nothing else is."""

from __future__ import annotations

import itertools
import os
import random
import resource
import select
import signal
from pathlib import Path

import pytest

from replant.journal import Journal, Lane, blocks, forked, site
from replant.journal.layout import BLOCK, EVENTS, SLOT, SLOTS
from replant.journal.reader import Reader

COUNT = site("count", "%d after %d")
WORDS = site("words", "%s")
LONG = site("long", "%d: %s")


def write_for_ever(journal: Journal, told: int) -> None:
    """Count; say over the pipe ``told`` how far it has surely come: the number is written after the event."""
    number = 0
    while True:
        COUNT(journal, number, number - 1)
        WORDS(journal, f"number {number}")
        LONG(journal, number, f"{number} " * 40)
        journal.batch(number, number, number.to_bytes(8, "little") * 8 * (number % 7 + 1))
        number += 1
        os.write(told, number.to_bytes(8, "little"))


def check_lane(events: list, surely: int) -> None:
    """Events of one writer: complete from 0 to at least ``surely``, each as it was written."""
    numbers = [e.args[0] for e in events if e.site.kind == "count"]
    assert numbers == list(range(len(numbers))) and len(numbers) >= surely
    for event in events:
        if event.site.kind == "count":
            assert event.args[1] == event.args[0] - 1
        elif event.site.kind == "words":
            assert event.args[0].startswith(b"number ")
        elif event.site.kind == "long":
            assert event.args[1] == b"%d " % event.args[0] * 40
        elif event.site.kind == "call":
            assert event.records == event.pid.to_bytes(8, "little") * 8 * (event.pid % 7 + 1)


@pytest.mark.parametrize("seed", range(10))
def test_kill_9_loses_nothing_that_was_completed(tmp_path: Path, seed: int):
    path = str(tmp_path / "journal")
    journal = Journal.create(path)
    writers = {}
    for _ in range(4):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            write_for_ever(journal, writing)
        os.close(writing)
        writers[pid] = reading
    try:
        enough = random.Random(seed).randrange(1, 2500)
        surely = dict.fromkeys(writers, 0)
        while max(surely.values()) < enough:
            for pid, pipe in writers.items():
                if select.select([pipe], [], [], 0)[0]:
                    surely[pid] = int.from_bytes(os.read(pipe, 65536)[-8:], "little")
    finally:
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    with Reader(path) as reader:
        found = {pid: [] for pid in writers}
        for event in reader.events():
            found[event.lane.pid].append(event)
        losses = reader.losses()
    for pid, pipe in writers.items():
        while data := os.read(pipe, 65536):
            surely[pid] = int.from_bytes(data[-8:], "little")
        os.close(pipe)
        check_lane(found[pid], surely[pid])
        assert not found[pid] or any(f"of pid {pid} was not closed" in loss for loss in losses)
    journal.close()


def test_a_forked_child_writes_a_lane_of_its_own(journal, rows):
    COUNT(journal, 1, 0)
    pid = os.fork()
    if pid == 0:
        COUNT(journal, 2, 1)
        site("child", "registered by the child: %d")(journal, 5)
        journal.close()
        os._exit(0)
    os.waitpid(pid, 0)
    COUNT(journal, 3, 2)
    journal.close()
    with Reader(journal.path) as reader:
        found = [(e.lane.pid, e.site.kind, e.args[0]) for e in reader.events() if e.site.kind in ("count", "child")]
        assert reader.losses() == []
    me = os.getpid()
    assert found == [(me, "count", 1), (pid, "count", 2), (pid, "child", 5), (me, "count", 3)]


def test_another_program_joins(tmp_path: Path, rows):
    path = str(tmp_path / "journal")
    with Journal.create(path) as first, Journal.join(path) as second:
        COUNT(first, 1, 0)
        COUNT(second, 2, 1)
    assert rows(path) == [("count", (1, 0)), ("count", (2, 1))]
    (tmp_path / "other").write_text("no journal")
    with pytest.raises(ValueError, match="not a journal"):
        Journal.join(str(tmp_path / "other"))


def test_a_signal_handler_may_write_in_the_middle_of_an_event(journal, rows):
    """The handler runs in all the places where CPython lets handlers run."""
    calls = itertools.count()
    handled = []

    def handler(number: int, frame: object) -> None:
        mine = next(calls)  # handlers interrupt handlers
        COUNT(journal, -1, mine)
        handled.append(mine)

    for _ in range(SLOTS):
        WORDS(journal, "a lane has a block ready from its second on")
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        written = 0
        while len(handled) < 200:
            COUNT(journal, written, written - 1)
            WORDS(journal, "x" * (written % 90))
            written += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    journal.close()
    found = [args for kind, args in rows(journal.path) if kind == "count"]
    assert sorted(args for args in found if args[0] >= 0) == [(n, n - 1) for n in range(written)]
    assert sorted(args for args in found if args[0] < 0) == sorted((-1, n) for n in handled)


def test_a_ring_keeps_the_newest_and_says_what_it_wrote_over(tmp_path: Path):
    path = str(tmp_path / "journal")
    count = 20 * SLOTS
    with Journal.create(path, ring=4 * BLOCK) as journal:
        for number in range(count):
            COUNT(journal, number, number - 1)
    assert os.path.getsize(path) == 5 * BLOCK
    with Reader(path) as reader:
        found = [e.args[0] for e in reader.events(lambda s: s.kind == "count")]
        losses = reader.losses()
    assert found == list(range(found[0], count)) and len(found) > 3 * SLOTS - 5
    assert len(losses) == 1 and "written over" in losses[0]


def test_a_child_does_not_write_over_the_ring_of_its_parent(tmp_path: Path):
    path = str(tmp_path / "journal")
    journal = Journal.create(path, ring=2 * BLOCK)
    for number in range(2 * SLOTS - 2):
        COUNT(journal, number, number - 1)
    pid = os.fork()
    if pid == 0:
        for number in range(5 * SLOTS):
            COUNT(journal, number, number - 1)
        os._exit(0)
    os.waitpid(pid, 0)
    with Reader(path) as reader:
        mine = [e.args[0] for e in reader.events() if e.lane.pid == os.getpid()]
    assert mine == list(range(2 * SLOTS - 2))
    journal.close()


def test_a_ring_killed_while_it_overwrites_has_no_old_events_among_new(tmp_path: Path):
    for turn in range(10):
        path = str(tmp_path / f"journal{turn}")
        journal = Journal.create(path, ring=2 * BLOCK)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            write_for_ever(journal, writing)
        os.close(writing)
        try:
            while int.from_bytes(os.read(reading, 8), "little") < 1000 + 37 * turn:
                pass
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reading)
        with Reader(path) as reader:
            numbers = [e.args[0] for e in reader.events(lambda s: s.kind == "count") if e.lane.pid == pid]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) and numbers[-1] >= 999
        journal.close()


def test_a_full_disk_turns_a_journal_into_a_ring(tmp_path: Path):
    """RLIMIT_FSIZE stands for the full disk: the same call fails in the same place."""
    path = str(tmp_path / "journal")
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6 * BLOCK + 100, 6 * BLOCK + 100))
        with Journal.create(path) as journal:
            for number in range(12 * SLOTS):
                COUNT(journal, number, number - 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.path.getsize(path) == 6 * BLOCK + 100  # a part of a block, which nobody could use
    with Reader(path) as reader:
        found = [e.args[0] for e in reader.events(lambda s: s.kind == "count")]
        (loss,) = reader.losses()
    assert "written over" in loss
    assert found[-1] == 12 * SLOTS - 1 and found == sorted(set(found))


def test_a_part_of_a_block_that_a_killed_writer_left_is_filled_up(journal, rows):
    COUNT(journal, 0, -1)
    with open(journal.path, "ab") as file:
        file.write(bytes(1234))
    with Reader(journal.path) as reader:
        assert [e.args for e in reader.events()] == [(0, -1)]
    for number in range(1, 3 * SLOTS):
        COUNT(journal, number, number - 1)
    journal.close()
    assert rows(journal.path) == [("count", (n, n - 1)) for n in range(3 * SLOTS)]
    with Reader(journal.path) as reader:
        assert reader.losses() == []


def test_no_room_for_a_lane_means_no_events_and_no_error(tmp_path: Path):
    path = str(tmp_path / "journal")
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * BLOCK, 2 * BLOCK))
        journal = Journal.create(path)
        lane: Lane = journal.lane("late")
        COUNT(lane, 1, 0)
        lane.batch(1, 1, bytes(64))
        COUNT(lane, 2, 1)
        journal.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_child_made_without_python_can_say_so(journal, rows):
    COUNT(journal, 1, 0)
    forked()
    COUNT(journal, 2, 1)
    journal.close()
    with Reader(journal.path) as reader:
        assert len({e.lane.number for e in reader.events(lambda s: s.kind == "count")}) == 2


def test_a_copy_that_was_torn_is_taken_again(journal, monkeypatch: pytest.MonkeyPatch):
    """A reader's copy has what was last stored, the key, but not yet what was stored before it."""
    COUNT(journal, 7, 6)
    copies = []

    def torn(fd: int, block: blocks.Block) -> bytes:
        data = bytearray(content(fd, block))
        if not copies and block.kind == EVENTS:
            copies.append(data)
            data[SLOT + 8 : 2 * SLOT - 8] = bytes(SLOT - 16)
        return bytes(data)

    content = blocks.content
    with Reader(journal.path) as reader:
        monkeypatch.setattr(blocks, "content", torn)
        assert [e.args for e in reader.events()] == [(7, 6)]


def test_a_block_that_is_written_over_while_it_is_read_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = Journal.create(str(tmp_path / "journal"), ring=BLOCK)
    COUNT(journal, 7, 6)

    def overtaken(fd: int, block: blocks.Block) -> bytes:
        data = content(fd, block)
        for number in range(SLOTS):
            COUNT(journal, number, number - 1)
        return data

    content = blocks.content
    with Reader(journal.path) as reader:
        monkeypatch.setattr(blocks, "content", overtaken)
        assert list(reader.events()) == []
    journal.close()
