"""What a person sees: lines, selections, JSON, traces, following, and the bridges to ``logging``."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import struct
import threading
from pathlib import Path

import pytest

from replant.abi import names, x86_64
from replant.journal import DEBUG, ERROR, WARNING, Journal, site
from replant.journal.bridge import JournalHandler, replay
from replant.journal.events import NOT_RUN
from replant.journal.export import as_json, as_trace
from replant.journal.follow import Follower
from replant.journal.layout import ERROR_OK, SLOTS
from replant.journal.reader import Reader
from replant.journal.render import Renderer
from replant.journal.select import Selection, phase

FIGURES = site("figures", "%d of %x, mode %o, in %t", level=DEBUG)
NAMES = site("names", "%n by %g: %e", level=WARNING)
PATHS = site("paths", "%s is 100%% of task %p", level=ERROR)
AT_FDCWD = (1 << 64) - 100


def call(nr: int, *args: int, ret: int = 0, flags: int = 0) -> bytes:
    return struct.pack("<II6Qq", nr, flags, *args, *[0] * (6 - len(args)), ret)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A journal with a bit of everything."""
    path = str(tmp_path / "journal")
    with Journal.create(path) as journal:
        FIGURES(journal, 5, 255, 0o644, 1500)
        with journal.phase("build"):
            NAMES(journal, x86_64.openat, 9, errno.ENOENT)
            records = [
                call(x86_64.mmap, 0x10000, 4096, 3, 0x32, (1 << 64) - 1, ret=0x10000),
                call(x86_64.openat, AT_FDCWD, 0x1234, 0o2000000, ret=-errno.ENOENT),
                call(x86_64.close, 0x5678, ret=-errno.EBADF, flags=0x1 | ERROR_OK),
                call(x86_64.close, 7, ret=NOT_RUN),
            ]
            journal.batch(40, 41, b"".join(records), base=10, ns=2000, reason="make room")
        PATHS(journal, "/a\nb", 40)
    return path


def shown(path: str, selection: Selection) -> list[str]:
    """The selected lines without their times and the writer's pid."""
    with Reader(path) as reader:
        renderer = Renderer(reader.header, names)
        lines = [line for event in selection.events(reader) for line in selection.lines(event, renderer)]
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{6} \[\d+\] ", line) for line in lines)
    return [line.split(" ", 1)[1].removeprefix(f"[{os.getpid()}] ") for line in lines]


CALLS = [
    "[41] call: 4 calls in 2.0 us for make room",
    "[41]   #10 mmap(0x10000, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0x0) = 0x10000",
    "[41]   #11 openat(AT_FDCWD, 0x1234, O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)",
    "[41]   #12 close(*0x5678) = -1 EBADF (Bad file descriptor)",
    "[41]   #13 close(7) = ?",
]
WARNINGS = [
    "names: warning: openat by SIGKILL: ENOENT (No such file or directory)",
    "paths: error: /a\\nb is 100% of task 40",
]


def test_lines_read_as_those_of_strace(path: str):
    lines = shown(path, Selection())
    assert lines[0] == "figures: 5 of 0xff, mode 0o644, in 1.5 us"
    assert lines[1] == "phase.begin: build" and lines[2] == WARNINGS[0]
    assert lines[3:8] == CALLS
    assert lines[8].startswith("phase.end: build took ") and lines[9] == WARNINGS[1]
    assert lines[10] == f"journal.close: pid {os.getpid()} wrote its last event" and len(lines) == 11


def test_selections(path: str):
    assert shown(path, Selection(level=WARNING)) == WARNINGS
    assert shown(path, Selection(kinds=["names", "paths"])) == WARNINGS
    assert len(shown(path, Selection(kinds=["phase"]))) == 2
    assert shown(path, Selection(pids=[41])) == CALLS
    assert shown(path, Selection(pids=[40])) == [*CALLS, WARNINGS[1]]
    assert shown(path, Selection(calls=["close"])) == CALLS[3:]
    assert shown(path, Selection(errors=[errno.EBADF])) == [CALLS[3]]
    assert shown(path, Selection(errors=[0])) == [CALLS[2]], "EBADF was expected there: no failure"
    assert shown(path, Selection(grep=re.compile("ENOENT"))) == [WARNINGS[0], CALLS[2]]
    assert shown(path, Selection(pids=[99])) == []


def test_a_call_that_gave_0_has_no_error(journal):
    journal.call(40, 40, x86_64.close, (7,), 0, ns=100)
    journal.close()
    assert shown(journal.path, Selection(errors=[0])) == [] == shown(journal.path, Selection(errors=[errno.EBADF]))
    assert shown(journal.path, Selection(calls=["close"])) == ["[40]   #0 close(7) = 0"]


def test_a_phase_selects_what_happened_in_it(path: str):
    with Reader(path) as reader:
        during = phase(reader, "build")
        assert phase(reader, "no such") is None
    assert during is not None
    lines = shown(path, Selection(since=during[0], until=during[1]))
    assert len(lines) == 8 and lines[0] == "phase.begin: build" and lines[-1].startswith("phase.end")


def test_times_select_within_blocks_and_across_them(journal):
    for number in range(3 * SLOTS):
        FIGURES(journal, number, 0, 0, 0)
    journal.close()
    with Reader(journal.path) as reader:
        every = list(reader.events(lambda s: s.kind == "figures"))
        since, until = every[SLOTS + 9].time, every[2 * SLOTS + 77].time
        found = list(reader.events(lambda s: s.kind == "figures", since=since, until=until))
    assert [e.time for e in found] == [e.time for e in every if since <= e.time < until]


def test_json_is_one_document(path: str):
    with Reader(path) as reader:
        renderer = Renderer(reader.header, names)
        found = json.loads("".join(as_json(reader, reader.events(), renderer)))
    events = found["events"]
    assert found["losses"] == [] and [e["kind"] for e in events[:3]] == ["figures", "phase.begin", "names"]
    assert events[0]["args"] == [5, 255, 0o644, 1500] and events[0]["place"].startswith("test_read:")
    batch = events[3]
    assert (batch["process"], batch["task"], batch["reason"], batch["ns"]) == (40, 41, "make room", 2000)
    assert [(c["index"], c["name"], c["ret"]) for c in batch["calls"][:2]] == [
        (10, "mmap", 0x10000),
        (11, "openat", -2),
    ]


def test_the_trace_is_one_that_perfetto_can_draw(path: str):
    """The rules of the Chrome trace event format: known phases, numbers for times, bars that nest on their track."""
    with Reader(path) as reader:
        found = json.loads("".join(as_trace(reader, reader.events(), Renderer(reader.header, names))))
    entries = found["traceEvents"]
    named = {(e["pid"], e["tid"]): e["args"]["name"] for e in entries if e["ph"] == "M" and e["name"] == "thread_name"}
    open_bars: dict[tuple[int, int], list[str]] = {}
    for entry in entries:
        where = (entry["pid"], entry["tid"])
        assert where in named and entry["ph"] in "MBEXi" and isinstance(entry["name"], str)
        if entry["ph"] != "M":
            assert entry["ts"] >= 0 and entry["cat"]
        if entry["ph"] == "B":
            open_bars.setdefault(where, []).append(entry["name"])
        if entry["ph"] == "E":
            assert open_bars[where].pop() == entry["name"]
    assert not any(open_bars.values())
    (bar,) = [e for e in entries if e["ph"] == "X"]
    assert (bar["name"], bar["pid"], bar["tid"], bar["dur"], len(bar["args"]["calls"])) == ("make room", 40, 41, 2.0, 4)
    assert named[40, 41] == "task 41"


def test_following_gives_every_event_once_until_the_writer_is_done(tmp_path: Path):
    path = str(tmp_path / "journal")
    looks = threading.Semaphore(0)
    with Journal.create(path) as journal:
        FIGURES(journal, -1, 0, 0, 0)

        def write() -> None:
            late = site("followed", "defined while somebody follows: %d")
            for number in range(3 * SLOTS):
                late(journal, number)
                if number % 500 == 0:
                    looks.acquire(timeout=60)
            journal.close()

        thread = threading.Thread(target=write)
        with Reader(path) as reader:
            thread.start()
            found = [
                e.args[0]
                for e in Follower(reader, lambda s: s.kind in ("figures", "followed")).events(
                    lambda seconds: looks.release()
                )
            ]
        thread.join()
    assert found == [-1, *range(3 * SLOTS)]


def test_following_a_killed_writer_ends(tmp_path: Path):
    path = str(tmp_path / "journal")
    pid = os.fork()
    if pid == 0:
        FIGURES(Journal.create(path), 1, 2, 3, 4)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    with Reader(path) as reader:
        assert [e.args for e in Follower(reader, lambda s: True).events()] == [(1, 2, 3, 4)]


def test_log_records_become_events(journal):
    logger = logging.getLogger("some.package")
    handler = JournalHandler(journal)
    logger.addHandler(handler)
    try:
        logger.warning("%d things", 5)
        try:
            raise OSError(2, "no")
        except OSError:
            logger.exception("broken")
    finally:
        logger.removeHandler(handler)
    journal.close()
    with Reader(journal.path) as reader:
        found = [(e.site.level, e.args) for e in reader.events(lambda s: s.kind == "log")]
    assert found == [
        (WARNING, (b"some.package", b"5 things")),
        (ERROR, (b"some.package", b"broken: FileNotFoundError(2, 'no')")),
    ]


def test_events_become_log_records(path: str, caplog: pytest.LogCaptureFixture):
    with Reader(path) as reader, caplog.at_level(logging.WARNING):
        renderer = Renderer(reader.header, names)
        first = next(reader.events(lambda s: s.kind == "names"))
        replay(reader.events(), renderer)
        assert caplog.records[0].created == pytest.approx(renderer.epoch(first.time) / 1e9)
    told = [(r.name, r.levelno, r.getMessage(), r.process) for r in caplog.records]
    assert told == [
        ("journal.names", WARNING, "openat by SIGKILL: ENOENT (No such file or directory)", os.getpid()),
        ("journal.paths", ERROR, "/a\\nb is 100% of task 40", os.getpid()),
    ]
