"""Rounds of a dump, one by one: what has been copied of a process is what it had when it was last stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from struct import iter_unpack

import pytest

from pages.target import PAGE, Target
from replant.flows.precopy import Precopy
from replant.flows.tracking import Tracking
from replant.model.tree import Mm
from replant.pages.store import PageWriter
from replant.tracee.freeze import freeze


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as child:
        yield child


class Rounds:
    """A dump in rounds that goes on only when it is told to."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        folder.mkdir()
        self._store = PageWriter(os.open(folder / "pages", os.O_RDWR | os.O_CREAT))
        self._known = Precopy(target.pid, "", False, str(folder / "image"), None)

    def one(self) -> None:
        """A pause, and the copying after it."""
        self._known.prepare(self._store, 1, 0)

    def page(self, address: int) -> bytes:
        """What has been copied of a page."""
        for start, length, at in iter_unpack("<QQQ", self._known._rows[self._target.pid]):
            if start <= address < start + length:
                return os.pread(self._store.fd, PAGE, at + address - start)
        return bytes(PAGE)

    def __enter__(self) -> Rounds:
        return self

    def __exit__(self, *_: object) -> None:
        self._known.__exit__()
        os.close(self._store.fd)


def test_two_dumps_in_rounds_at_the_same_time(target: Target, tmp_path: Path) -> None:
    """Each is told only of the writes since its own last round; not of those since the other's."""
    vma = target.map(10)
    target.fill(vma.start, 10 * PAGE, 1)
    written = vma.start + 3 * PAGE
    with Rounds(target, tmp_path / "one") as one, Rounds(target, tmp_path / "other") as other:
        for rounds in (one, other):
            rounds.one()
        target.write(written, b"after a round of both")
        for rounds in (one, other):
            rounds.one()
            assert rounds.page(written) == target.read(written, PAGE)
        target.write(written, b"and after one more")
        for rounds in (other, one):
            rounds.one()
            assert rounds.page(written) == target.read(written, PAGE)


def test_a_dump_forgets_what_was_tracked_if_another_begins_to_track(target: Target) -> None:
    """Both have the descriptors of the same holder, and one of them protects the pages anew."""
    vma = target.map(10)
    target.fill(vma.start, 10 * PAGE, 1)
    mm = Mm(target.pid, (vma,))
    with Tracking(target.pid) as first, freeze(target.pid) as frozen:
        first.begin({task.pid: task for task in frozen.tasks}, [mm])
        first.hand_over("identity", "image")
    with Tracking.find(target.pid) as one, Tracking.find(target.pid) as other:
        assert one.base == other.base == "identity"
        assert one.fds.keys() == other.fds.keys() == {target.pid}
        with freeze(target.pid) as frozen:
            one.forget_if_another_began()
            assert one.base
            one.begin({task.pid: task for task in frozen.tasks}, [mm])
        with freeze(target.pid):
            other.forget_if_another_began()
            assert not other.base and not other.fds
