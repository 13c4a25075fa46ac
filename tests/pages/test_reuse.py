"""What need not be saved again: found by the kernel's word, and by what an earlier dump has."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from struct import pack

import pytest

from pages.target import PAGE, Target
from replant.abi import mman, userfaultfd, x86_64
from replant.abi.call import Call
from replant.abi.libc import syscall
from replant.flows.tracking import Tracking
from replant.model.invariants import GUARD
from replant.model.tree import Mm, Vma
from replant.pages.reuse import settle
from replant.pages.scan import Scan, is_watched, protect, since

MADV_DONTNEED = 4


def found(clean: list[int], runs: list[int], known: list[tuple[int, int, int]]) -> tuple[list[int], list[int]]:
    """``kept`` and ``runs`` after settling."""
    scan = Scan()
    scan.clean, scan.runs = array("Q", clean), array("Q", runs)
    settle(scan, b"".join(pack("<QQQ", *row) for row in known))
    assert not scan.clean
    return list(scan.kept), list(scan.runs)


def test_what_is_known_is_kept() -> None:
    assert found([10, 5], [], [(10, 5, 100)]) == ([10, 5, 100], [])
    assert found([12, 2], [], [(10, 5, 100)]) == ([12, 2, 102], [])


def test_what_is_not_known_is_saved_in_its_place() -> None:
    assert found([10, 5], [2, 1, 20, 1], []) == ([], [2, 1, 10, 5, 20, 1])
    assert found([10, 5], [], [(10, 5, GUARD)]) == ([], [10, 5])


def test_parts_are_told_apart() -> None:
    kept, runs = found([0, 100], [], [(10, 5, 500), (15, 5, 900), (40, 100, 600)])
    assert kept == [10, 5, 500, 15, 5, 900, 40, 60, 600]
    assert runs == [0, 10, 20, 20]
    assert found([0, 20, 30, 20], [], [(10, 30, 100)]) == ([10, 10, 100, 30, 10, 120], [0, 10, 40, 10])


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as child:
        yield child


@pytest.fixture
def tracking(target: Target) -> Iterator[int]:
    """A tracking descriptor of the target."""
    number = target.ask([Call(x86_64.userfaultfd, userfaultfd.QUIETLY)])[0].ret
    pidfd = os.pidfd_open(target.pid)
    fd = syscall(x86_64.pidfd_getfd, pidfd, number, 0)
    target.ask([Call(x86_64.close, number)])
    userfaultfd.api(fd, userfaultfd.WP_ASYNC)
    yield fd
    os.close(pidfd)
    try:
        os.close(fd)
    except OSError:
        pass  # a test has done so


def a_hole(target: Target, pages: int) -> int:
    """Room where nothing is mapped."""
    start = target.map(pages).start
    target.ask([Call(x86_64.munmap, start, pages * PAGE)])
    return start


def watched(target: Target, fd: int, pages: int, at: int = 0) -> Vma:
    """A filled mapping that is watched from now on."""
    vma = target.map(pages, at=at)
    target.fill(vma.start, pages * PAGE, 1)
    assert userfaultfd.note_writes(fd, vma.start, pages * PAGE)
    protect(target.pid, [vma])
    return vma


def rows(target: Target, vma: Vma) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pages to be saved and pages to be kept, as (first page, pages), of a mapping that is known whole."""
    scan = since(target.pid, [vma], pack("<QQQ", vma.start, vma.end - vma.start, 0))
    new = [((a - vma.start) // PAGE, n // PAGE) for a, n in zip(scan.runs[0::2], scan.runs[1::2], strict=True)]
    kept = [((a - vma.start) // PAGE, n // PAGE) for a, n in zip(scan.kept[0::3], scan.kept[1::3], strict=True)]
    return new, kept


def test_only_written_pages_are_new(target: Target, tracking: int) -> None:
    vma = watched(target, tracking, 100)
    assert rows(target, vma) == ([], [(0, 100)])
    target.write(vma.start + 10 * PAGE, b"new")
    target.write(vma.start + 99 * PAGE, b"new")
    assert rows(target, vma) == ([(10, 1), (99, 1)], [(0, 10), (11, 88)])
    protect(target.pid, [vma])
    assert rows(target, vma) == ([], [(0, 100)])


def test_pages_that_were_given_back_are_neither(target: Target, tracking: int) -> None:
    vma = watched(target, tracking, 10)
    target.ask([Call(x86_64.madvise, vma.start, 4 * PAGE, MADV_DONTNEED)])
    target.write(vma.start, b"again")
    target.read(vma.start + PAGE, 1)
    assert rows(target, vma) == ([(0, 1)], [(4, 6)])


@pytest.mark.parametrize("way", ["moved", "replaced", "new", "untracked"])
def test_what_is_not_watched_is_new(target: Target, tracking: int, way: str) -> None:
    vma = watched(target, tracking, 10)
    if way == "moved":
        place = target.map(10)
        fixed = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED
        assert target.ask([Call(x86_64.mremap, vma.start, 10 * PAGE, 10 * PAGE, fixed, place.start)])[0].ret > 0
        vma = place
    elif way == "replaced":
        fixed = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_FIXED
        target.ask([Call(x86_64.mmap, vma.start, 10 * PAGE, 3, fixed, -1, 0)])
        target.fill(vma.start, 10 * PAGE, 2)
    elif way == "new":
        vma = target.map(10)
        target.fill(vma.start, 10 * PAGE, 2)
    else:
        os.close(tracking)
    assert not is_watched(target.pid, vma.start, vma.end)
    assert rows(target, vma) == ([(0, 10)], [])


def test_a_mapping_that_has_lost_its_watch_is_watched_anew(target: Target, tracking: int) -> None:
    """A watched mapping that mremap(2) puts beside another becomes one with it, which ends the watch of both."""
    hole = a_hole(target, 60)  # what is mapped beside others may be one with these
    one, other = target.map(10, at=hole + 10 * PAGE), target.map(10, at=hole + 40 * PAGE)
    target.fill(one.start, 10 * PAGE, 1)
    with Tracking(target.pid) as tracked:
        tracked.fds[target.pid] = os.dup(tracking)
        tracked.watch(Mm(target.pid, (one, other)))
        protect(target.pid, [one, other])
        fixed = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED
        target.ask([Call(x86_64.mremap, other.start, 10 * PAGE, 10 * PAGE, fixed, one.end)])
        assert not is_watched(target.pid, one.start, one.end)
        target.write(one.start + 3 * PAGE, b"while it is not watched")
        assert rows(target, one) == ([(0, 10)], [])
        tracked.watch(Mm(target.pid, (one,)))
        protect(target.pid, [one])
        assert rows(target, one) == ([], [(0, 10)])
        target.write(one.start + 3 * PAGE, b"and when it is again")
        assert rows(target, one) == ([(3, 1)], [(0, 3), (4, 6)])


def test_what_somebody_else_watches_is_left_to_him(target: Target, tracking: int) -> None:
    """A program that notes its own writes, and has not asked for the last one yet."""
    hole = a_hole(target, 30)
    ours = [target.map(1, at=hole + PAGE), target.map(1, at=hole + 28 * PAGE)]
    theirs = watched(target, tracking, 10, at=hole + 10 * PAGE)
    target.write(theirs.start + 3 * PAGE, b"noted")
    another = target.ask([Call(x86_64.userfaultfd, userfaultfd.QUIETLY)])[0].ret
    pidfd = os.pidfd_open(target.pid)
    with Tracking(target.pid) as tracked:
        tracked.fds[target.pid] = syscall(x86_64.pidfd_getfd, pidfd, another, 0)
        userfaultfd.api(tracked.fds[target.pid], userfaultfd.WP_ASYNC)
        now_watched = tracked.watch(Mm(target.pid, (ours[0], theirs, ours[1])))
        assert now_watched == ours
        protect(target.pid, now_watched)
    os.close(pidfd)
    assert rows(target, theirs) == ([(3, 1)], [(0, 3), (4, 6)])
