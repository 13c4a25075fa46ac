"""Pages out of a process and back into it: its own view of its memory is the oracle."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from struct import iter_unpack

import pytest

from pages.target import PAGE, Target
from replant.abi import x86_64
from replant.abi.call import Answer, Call
from replant.errors import ImageError, ReplantError, TaskGone
from replant.model.invariants import GUARD
from replant.model.tree import Vma
from replant.pages import copy as copying
from replant.pages.copy import copy
from replant.pages.fill import HUGE, check_filled, fill_calls
from replant.pages.scan import Scan, scan
from replant.pages.store import PageWriter

MADV_GUARD_INSTALL = 102


@pytest.fixture
def store() -> Iterator[PageWriter]:
    with tempfile.TemporaryFile() as file:
        yield PageWriter(file.fileno())


@pytest.fixture
def target(store: PageWriter) -> Iterator[Target]:
    with Target(store.fd) as child:
        yield child


def fragmented(target: Target) -> list[Vma]:
    """Mappings with many runs: single pages, long runs, one longer than any buffer, in two portions of iovecs."""
    vmas = sorted([target.map(5000), target.map(1500), target.map(3)])
    for n in range(0, 5000, 3):
        target.fill(vmas[0].start + n * PAGE, PAGE, n)
    target.fill(vmas[1].start + PAGE, 1498 * PAGE, 5)
    target.fill(vmas[2].start, 3 * PAGE, 9)
    return vmas


def assert_saved(target: Target, store: PageWriter, runs: bytes) -> None:
    """Each run in the store is what the process itself sees there."""
    for start, length, at in iter_unpack("<QQQ", runs):
        assert os.pread(store.fd, length, at) == target.read(start, length), hex(start)


@pytest.mark.parametrize("inside", [False, True])
def test_what_is_copied_is_what_the_process_sees(target: Target, store: PageWriter, inside: bool) -> None:
    vmas = fragmented(target)
    store.keep(b"something before")
    found = scan(target.pid, vmas)
    assert found.bytes > copying.WORTH_INSIDE
    runs = copy(target.pid, found, store, target.ask if inside else None, store.fd)
    assert [n for row in iter_unpack("<QQQ", runs) for n in row[:2]] == list(found.runs)
    assert all(at % PAGE == 0 for _, _, at in iter_unpack("<QQQ", runs))
    assert store.size == PAGE + found.bytes
    assert_saved(target, store, runs)


def test_several_threads_copy_what_one_does(target: Target, store: PageWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "WORTH_THREADS", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(3))
    vmas = fragmented(target)
    assert_saved(target, store, copy(target.pid, scan(target.pid, vmas), store))
    full = os.open("/dev/full", os.O_RDWR)
    with pytest.raises(ReplantError) as e:
        copy(target.pid, scan(target.pid, vmas), PageWriter(full))
    assert e.value.code == "no-space"
    os.close(full)


def test_small_amounts_are_not_worth_a_visit(target: Target, store: PageWriter) -> None:
    vma = target.map(10)
    target.fill(vma.start, 10 * PAGE, 1)

    def never(calls: object) -> list[Answer]:
        raise AssertionError

    assert_saved(target, store, copy(target.pid, scan(target.pid, [vma]), store, never, store.fd))
    assert copy(target.pid, Scan(), store) == b""


@pytest.mark.parametrize("inside", [False, True])
def test_memory_without_read_permission(
    target: Target, store: PageWriter, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither process_vm_readv(2) nor the process itself can read it; /proc/PID/mem can."""
    monkeypatch.setattr(copying, "WORTH_INSIDE", 0)
    vmas = sorted([target.map(4), target.map(4), target.map(4)])
    for vma in vmas:
        target.fill(vma.start, 4 * PAGE, 1)
    shut = vmas[1]
    target.ask([Call(x86_64.mprotect, shut.start, 4 * PAGE, 0)])
    runs = copy(target.pid, scan(target.pid, vmas), store, target.ask if inside else None, store.fd)
    target.ask([Call(x86_64.mprotect, shut.start, 4 * PAGE, 1)])
    assert_saved(target, store, runs)
    assert len(runs) == 24 * 3


def test_a_process_that_writes_less_than_asked(target: Target, store: PageWriter) -> None:
    """What a signal or a full disk cuts short inside is done again from outside."""
    vmas = fragmented(target)

    def short(calls: list[Call]) -> list[Answer]:
        answers = target.ask(calls[:3])
        return [*answers, *(Answer((-errno.ENOSPC, 0, c.args[2] - 1)[i % 3]) for i, c in enumerate(calls[3:]))]

    assert_saved(target, store, copy(target.pid, scan(target.pid, vmas), store, short, store.fd))


def test_a_full_disk(target: Target) -> None:
    vmas = fragmented(target)
    full = os.open("/dev/full", os.O_RDWR)
    for ask in (None, lambda calls: [Answer(-errno.ENOSPC) for _ in calls]):
        with pytest.raises(ReplantError) as e:
            copy(target.pid, scan(target.pid, vmas), PageWriter(full), ask, full)
        assert e.value.code == "no-space"
    os.close(full)


def test_a_process_that_is_gone(store: PageWriter) -> None:
    with Target() as target:
        vma = target.map(1)
        target.fill(vma.start, PAGE, 1)
        found = scan(target.pid, [vma])
    with pytest.raises(TaskGone):
        copy(target.pid, found, store)


def test_memory_that_nobody_can_read_is_named(target: Target, store: PageWriter) -> None:
    vma = target.map(2)
    found = Scan()
    found.runs.extend((vma.end + (1 << 30), PAGE))
    with pytest.raises(ReplantError) as e:
        copy(target.pid, found, store)
    assert e.value.code == "memory-unreadable" and f"{vma.end + (1 << 30):x}" in str(e.value)


@pytest.mark.parametrize(("told", "large"), [(False, False), (True, False), (True, True)])
def test_there_and_back(target: Target, store: PageWriter, told: bool, large: bool) -> None:
    """Copied, unmapped, mapped again, filled: the process sees what it saw."""
    vmas = fragmented(target)
    saved = copy(target.pid, scan(target.pid, vmas), store)
    before = [target.read(v.start, v.end - v.start) for v in vmas]
    target.ask([Call(x86_64.munmap, v.start, v.end - v.start) for v in vmas])
    again = [target.map((v.end - v.start) // PAGE, at=v.start) for v in vmas]
    assert [(v.start, v.end) for v in again] == [(v.start, v.end) for v in vmas]
    calls = fill_calls(saved, [store.fd], vmas if told else (), large)
    check_filled(calls, target.ask(calls))
    assert [target.read(v.start, v.end - v.start) for v in vmas] == before
    assert scan(target.pid, vmas).bytes == sum(n for _, n, _ in iter_unpack("<QQQ", saved)), (
        "nothing else was allocated"
    )


@pytest.mark.parametrize(
    ("flags", "chosen", "expected"), [("", True, True), ("nh", True, False), ("hg", False, True), ("", False, False)]
)
def test_huge_pages_where_they_are_wanted(
    target: Target, store: PageWriter, flags: str, chosen: bool, expected: bool
) -> None:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    if "[always]" in setting or "[never]" in setting:
        pytest.skip("huge pages everywhere, or nowhere")
    size = 4 * HUGE
    os.pwrite(store.fd, os.urandom(size), 0)
    vma = target.map(size // PAGE)._replace(flags=flags)
    runs = b"".join(n.to_bytes(8, "little") for n in (vma.start, size, 0))
    calls = fill_calls(runs, [store.fd], [vma], huge=chosen)
    check_filled(calls, target.ask(calls))
    assert target.read(vma.start, size) == os.pread(store.fd, size, 0)
    assert huge(target.pid, vma) >= 3 * HUGE if expected else huge(target.pid, vma) == 0


def huge(pid: int, vma: Vma) -> int:
    """Bytes of huge pages in the mappings from ``start`` to ``end``: smaps(5)."""
    total, inside = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = line.split()[0]
        if "-" in head:
            start, end = (int(n, 16) for n in head.split("-"))
            inside = start < vma.end and end > vma.start
        elif inside and head == "AnonHugePages:":
            total += int(line.split()[1]) << 10
    return total


def test_guard_pages_come_back(target: Target, store: PageWriter) -> None:
    vma = target.map(8)
    target.fill(vma.start, 8 * PAGE, 3)
    if target.ask([Call(x86_64.madvise, vma.start + PAGE, 2 * PAGE, MADV_GUARD_INSTALL)])[0].ret:
        pytest.skip("this kernel has no guard pages (Linux 6.13)")
    before = scan(target.pid, [vma])
    saved = copy(target.pid, before, store)
    assert (vma.start + PAGE, 2 * PAGE, GUARD) in [*iter_unpack("<QQQ", saved)]
    target.ask([Call(x86_64.munmap, vma.start, 8 * PAGE)])
    target.map(8, at=vma.start)
    calls = fill_calls(saved, [store.fd])
    check_filled(calls, target.ask(calls))
    after = scan(target.pid, [vma])
    assert (after.runs, after.guards) == (before.runs, before.guards)


def test_a_store_that_is_too_short_is_told(target: Target, store: PageWriter) -> None:
    vma = target.map(4)
    os.pwrite(store.fd, b"x" * 5000, 0)
    calls = fill_calls(b"".join(n.to_bytes(8, "little") for n in (vma.start, 2 * PAGE, 0)), [store.fd])
    with pytest.raises(ImageError) as e:
        check_filled(calls, target.ask(calls))
    assert e.value.code == "image-truncated"


def test_long_runs_are_read_in_portions() -> None:
    """One read(2) moves at most 2 GiB."""
    calls = fill_calls(b"".join(n.to_bytes(8, "little") for n in (1 << 32, 5 << 30, PAGE)), [3])
    assert [(c.args[1], c.args[2], c.args[3]) for c in calls] == [
        ((1 << 32) + (n << 30), 1 << 30, PAGE + (n << 30)) for n in range(5)
    ]


def test_runs_that_follow_each_other_in_the_store_are_read_at_once() -> None:
    def run(start: int, length: int, at: int) -> bytes:
        return b"".join(n.to_bytes(8, "little") for n in (start, length, at))

    runs = [run(n << 20, PAGE, n * PAGE) for n in range(1500)]
    runs += [run(1 << 40, PAGE, 1 << 30), run(1 << 41, 2 * PAGE, (1 << 30) + PAGE), run(1 << 42, PAGE, 0)]
    calls = fill_calls(b"".join(runs), [3])
    assert [(c.nr == x86_64.preadv, c.args[2], c.args[3]) for c in calls] == [
        (True, 1024, 0), (True, 476, 1024 * PAGE), (True, 2, 1 << 30), (False, PAGE, 0),
    ]  # fmt: skip
    wanted = [1024 * PAGE, 476 * PAGE, 3 * PAGE, PAGE]
    check_filled(calls, [Answer(n) for n in wanted])
    with pytest.raises(ImageError, match=str(3 * PAGE)):
        check_filled(calls, [Answer(n) for n in (*wanted[:2], PAGE, PAGE)])
