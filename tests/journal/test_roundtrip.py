"""What is written is what is read, for every shape of event."""

from __future__ import annotations

import os
import struct
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replant.journal import NULL, Journal, lane, site, sites
from replant.journal.events import Batch
from replant.journal.layout import BLOCK, ERROR_OK, SLOTS
from replant.journal.reader import Reader
from replant.journal.sites import TEXT_MAX
from replant.journal.space import append_blocks

ONE = site("one", "%d")
TWO = site("two", "%d and %x")
THREE = site("three", "%d %o %t")
FIVE = site("five", "%d%d%d%d%d")
TEXT = site("text", "%s")
MIXED = site("mixed", "%s is %d of %s")
PRIVATE = site("private", "sent %q")
NONE = site("none", "nothing to add, 100%%")

integers = st.integers(-(1 << 63), (1 << 63) - 1)
texts = st.one_of(
    st.text(max_size=200), st.binary(max_size=200), st.sampled_from(["x" * 39, "x" * 40, "x" * 41, "é" * 20])
)
events = st.one_of(
    st.tuples(st.just(("one", ONE)), st.tuples(integers)),
    st.tuples(st.just(("two", TWO)), st.tuples(integers, integers)),
    st.tuples(st.just(("three", THREE)), st.tuples(integers, integers, integers)),
    st.tuples(st.just(("five", FIVE)), st.tuples(*[integers] * 5)),
    st.tuples(st.just(("text", TEXT)), st.tuples(texts)),
    st.tuples(st.just(("mixed", MIXED)), st.tuples(texts, integers, texts)),
    st.tuples(st.just(("none", NONE)), st.just(())),
)


def stored(args):
    return tuple(a.encode() if isinstance(a, str) else a for a in args)


@settings(max_examples=60)
@given(st.lists(events, max_size=40))
def test_any_events_come_back_in_order(told):
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "journal")
        with Journal.create(path) as journal:
            for (_, emit), args in told:
                emit(journal, *args)
        with Reader(path) as reader:
            found = [(e.site.kind, e.args) for e in reader.events()]
            assert reader.losses() == []
    assert found[:-1] == [(kind, stored(args)) for (kind, _), args in told]


def test_many_blocks_come_back_whole(journal, rows):
    count = 5 * SLOTS + 7
    for number in range(count):
        TWO(journal, number, -number)
    journal.close()
    assert rows(journal.path) == [("two", (n, -n)) for n in range(count)]
    assert 7 * BLOCK <= os.path.getsize(journal.path) <= 9 * BLOCK  # some for later


def test_integers_beyond_64_bits_wrap(journal, rows):
    TWO(journal, 1 << 63, (1 << 64) - 1)
    FIVE(journal, 1 << 64, 5, 1 << 63, -1, True)
    journal.close()
    assert rows(journal.path) == [("two", (-(1 << 63), -1)), ("five", (0, 5, -(1 << 63), -1, 1))]
    with Reader(journal.path) as reader:
        assert len(list(reader.events())) == 3 and reader.losses() == []


def test_text_that_no_encoding_has_keeps_its_bytes(journal, rows):
    name = b"/tmp/\xff\xfe"
    TEXT(journal, os.fsdecode(name))
    MIXED(journal, os.fsdecode(name), 1, name)
    journal.close()
    assert rows(journal.path) == [("text", (name,)), ("mixed", (name, 1, name))]


def test_long_text_is_cut_and_shows_it(journal, rows):
    TEXT(journal, "x" * 10_000)
    journal.close()
    ((_, (text,)),) = rows(journal.path)
    assert len(text) == TEXT_MAX and text.endswith("x…".encode())


def test_arguments_of_a_wrong_type_are_a_bug_that_is_seen(journal, rows):
    for emit, args in ((TWO, ("a", 1)), (TWO, (None, 1)), (TEXT, (5,)), (FIVE, (1,)), (MIXED, (1, "a", "b"))):
        with pytest.raises(TypeError):
            emit(journal, *args)
    ONE(journal, 1)
    journal.close()
    assert rows(journal.path) == [("one", (1,))]


def test_private_text_is_not_in_the_file_unless_asked_for(tmp_path: Path):
    secret = b"hunter2-hunter2"
    for private, present in ((False, False), (True, True)):
        path = tmp_path / f"journal-{private}"
        with Journal.create(str(path), private=private) as journal:
            PRIVATE(journal, secret)
        assert (secret in path.read_bytes()) is present


def test_a_batch_is_kept_as_it_is(journal):
    record = struct.Struct("<II6Qq")
    records = b"".join(record.pack(n, 0, 1, 2, 3, 4, 5, 6, -n) for n in range(3000))
    journal.batch(10, 11, memoryview(records), base=100, ns=12_345, reason="read all")
    journal.close()
    with Reader(journal.path) as reader:
        batches = [event for event in reader.events() if isinstance(event, Batch)]
    assert b"".join(batch.records for batch in batches) == records
    starts = [0]
    for batch in batches:
        assert (batch.pid, batch.tid, batch.ns, batch.reason) == (10, 11, 12_345, b"read all")
        assert batch.base == 100 + starts[-1]
        starts.append(starts[-1] + len(list(batch.calls())))


def test_a_part_of_a_record_is_no_batch(journal):
    with pytest.raises(ValueError, match="65 bytes"):
        journal.batch(1, 1, bytes(65))


def test_sites_registered_later_are_known(journal, rows):
    late = site("late", "registered while the journal was open: %d")
    late(journal, 7)
    journal.close()
    assert rows(journal.path) == [("late", (7,))]


def open_descriptors():
    return {entry for entry in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{entry}")}


def test_nothing_is_kept_by_the_null_journal():
    before = open_descriptors()
    ONE(NULL, 1)
    TEXT(NULL, "x")
    MIXED(NULL, "x", 1, "y")
    NULL.batch(1, 1, bytes(64))
    NULL.failure(ValueError("x"))
    with NULL.phase("p"):
        pass
    NULL.close()
    assert open_descriptors() == before


def test_a_closed_journal_keeps_nothing(journal, rows):
    ONE(journal, 1)
    journal.close()
    ONE(journal, 2)
    TEXT(journal, "late")
    journal.close()
    assert rows(journal.path) == [("one", (1,))]


def test_a_journal_is_never_overwritten(journal):
    with pytest.raises(FileExistsError):
        Journal.create(journal.path)


@pytest.mark.parametrize("form", ["%y", "%d%d%d%d%d%d", "%", "100% of it"])
def test_words_that_cannot_be_kept_are_refused(form):
    with pytest.raises(ValueError, match="unknown conversion"):
        site("wrong", form)


def test_a_phase_says_when_it_began_ended_and_broke_off(journal, rows):
    with journal.phase("outer"), pytest.raises(KeyError), journal.phase("inner"):
        raise KeyError("x")
    journal.close()
    kinds = [(kind, args[0]) for kind, args in rows(journal.path)]
    assert kinds == [
        ("phase.begin", b"outer"),
        ("phase.begin", b"inner"),
        ("phase.broken", b"inner"),
        ("phase.end", b"outer"),
    ]


def test_threads_that_share_a_lane_lose_nothing(journal):
    def write(thread):
        for number in range(5000):
            TWO(journal, thread, number)
            if number % 100 == 0:
                TEXT(journal, "t" * 100)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    with Reader(journal.path) as reader:
        found = [event.args for event in reader.events(lambda s: s.kind == "two")]
        assert reader.losses() == []
    assert sorted(found) == [(t, n) for t in range(4) for n in range(5000)]


def test_one_thread_at_a_time_takes_a_block(journal, monkeypatch: pytest.MonkeyPatch):
    both = threading.Barrier(2)
    entered = []

    def slowly(fd: int, count: int):
        entered.append(threading.get_ident())
        try:
            both.wait(timeout=0.2)  # the other one must not come
        except threading.BrokenBarrierError:
            pass
        return append_blocks(fd, count)

    for number in range(SLOTS - 1):
        ONE(journal, number)
    monkeypatch.setattr(lane, "append_blocks", slowly)
    threads = [threading.Thread(target=ONE, args=(journal, -n)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(entered)) == 1


def test_an_event_that_is_overtaken_belongs_to_the_block_it_began_in(journal, rows, monkeypatch: pytest.MonkeyPatch):
    """Between the reservation of a slot and the storing, another thread fills the block and goes on in the next."""

    def late() -> int:
        monkeypatch.setattr(sites, "now", time.monotonic_ns)
        for number in range(SLOTS + 5):
            TWO(journal, number, 0)
        return time.monotonic_ns()

    monkeypatch.setattr(sites, "now", late)
    TWO(journal, -1, 0)
    journal.close()
    assert sorted(args for _, args in rows(journal.path)) == [(n, 0) for n in range(-1, SLOTS + 5)]


def test_events_come_in_the_order_of_time(journal, rows, monkeypatch: pytest.MonkeyPatch):
    start = time.monotonic_ns()
    monkeypatch.setattr(sites, "now", iter([start + 30, start + 10, start + 20]).__next__)
    for number in range(3):
        TWO(journal, number, 0)
    monkeypatch.undo()
    journal.close()
    assert [args[0] for _, args in rows(journal.path)] == [1, 2, 0]


def test_a_site_may_be_defined_and_used_while_the_journal_is_read(journal):
    with Reader(journal.path) as reader:
        site("meanwhile", "%d")(journal, 1)
        ONE(journal, 2)
        assert [event.args for event in reader.events()] == [(2,)]


def test_a_thread_may_have_a_lane_of_its_own(journal):
    own = journal.lane("worker")

    def write():
        ONE(own, 5)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    ONE(journal, 6)
    journal.close()
    with Reader(journal.path) as reader:
        found = [(e.lane.name, e.lane.tid, e.args) for e in reader.events(lambda s: s.kind == "one")]
        assert reader.losses() == []
    assert found[0][0] == "worker" and found[0][1] == thread.native_id and found[1][:2] == ("main", os.getpid())


def test_a_call_of_its_own(journal):
    journal.call(40, 41, 9, (-1, 2), -17, ns=5, reason="room", allowed=True)
    journal.call(40, 41, 9, (), -17, ns=5)
    journal.close()
    with Reader(journal.path) as reader:
        first, second = [event for event in reader.events() if isinstance(event, Batch)]
    assert (first.pid, first.tid, first.ns, first.reason) == (40, 41, 5, b"room")
    assert list(first.calls()) == [(9, ERROR_OK, (1 << 64) - 1, 2, 0, 0, 0, 0, -17)]
    assert first.failed() is None and second.failed() == (0, 17)
