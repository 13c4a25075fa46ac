"""The journal file: created, joined, closed; the one that a process has; what becomes of it in a fork."""

from __future__ import annotations

import os
from time import monotonic_ns as now
from time import time_ns

from replant.journal import sites
from replant.journal.known import CLOSED
from replant.journal.lane import Lane
from replant.journal.layout import (
    BLOCK,
    DEFINE,
    DEFINITIONS,
    EVENTS,
    FILE_HEADER,
    FILE_MAGIC,
    RING,
    SLOT,
    VERSION,
    check,
    sealed,
)
from replant.journal.space import append_blocks, new_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Journal(Lane):
    """A journal file open for writing; itself the lane of the thread that uses it."""

    __slots__ = ("_definitions", "_lanes", "path")

    def __init__(self, fd: int, path: str, ring: int = 0, private: bool = False) -> None:
        super().__init__(fd, "main", EVENTS, ring, private)
        self.path = path
        self._definitions = Lane(fd, "sites", DEFINITIONS)
        self._lanes: list[Lane] = [self, self._definitions]
        if fd >= 0:
            _open.append(self)
            sites.registered.append(self._define)

    @classmethod
    def create(cls, path: str, *, ring: int = 0, private: bool = False) -> Self:
        """Create a journal.

        :param ring: bytes a lane may take before it overwrites its oldest block; 0: it grows
        :param private: record private text (``%q``) too
        :raises FileExistsError: a journal is never overwritten
        :raises OSError: the file cannot be made
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        key = new_key()
        flags = RING if ring else 0
        header = FILE_HEADER.pack(FILE_MAGIC, VERSION, BLOCK, os.getpid(), flags, now(), time_ns(), key)
        try:
            first, *more = append_blocks(fd, 2)  # for the sites, for the first events
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise
        first[0][:SLOT] = sealed(header)
        journal = cls(fd, path, -(-ring // BLOCK), private)
        journal._definitions.adopt(first, key)
        journal._define_all()
        journal._ahead += more
        journal._advance(journal.buf)
        return journal

    @classmethod
    def join(cls, path: str, *, private: bool = False) -> Self:
        """Open a journal that another process created, to write lanes of one's own.

        :raises ValueError: the file is no journal of this version
        """
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        header = os.pread(fd, SLOT, 0)
        if (
            len(header) < SLOT
            or header[:8] != FILE_MAGIC
            or int.from_bytes(header[56:], "little") != check(header[:56])
        ):
            os.close(fd)
            raise ValueError(f"{path}: not a journal")
        journal = cls(fd, path, private=private)
        journal._define_all()
        return journal

    def lane(self, name: str) -> Lane:
        """A lane for another thread of this process; ``name`` (16 bytes) is what a reader calls it."""
        lane = Lane(self._fd, name, EVENTS, self._limit, self.private)
        self._lanes.append(lane)
        return lane

    def close(self) -> None:
        """Say that this process wrote all it had to, and record no more. The file stays."""
        if self.pos is None:
            return
        CLOSED(self, os.getpid())
        sites.registered.remove(self._define)
        _open.remove(self)
        for lane in self._lanes:
            lane.seal()
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _define(self, definition: bytes) -> None:
        self._definitions.put(DEFINE, len(definition), b"", definition)

    def _define_all(self) -> None:
        known = list(sites.definitions.values())
        for start in range(0, len(known), 100):
            self._define(b"".join(known[start : start + 100]))


_open: list[Journal] = []
NULL = Journal(-1, "")
"""The journal that keeps nothing: what a program has until it creates one."""
_current = NULL


def current() -> Journal:
    """The journal of this process; one that keeps nothing unless :func:`use` was called."""
    return _current


def use(journal: Journal) -> Journal:
    """Make ``journal`` the process's own, and return the one before."""
    global _current
    before, _current = _current, journal
    return before


def forked() -> None:
    """Give a child lanes of its own. Python's fork calls it; after a clone(2) made by other means, call it there."""
    for journal in _open:
        for lane in journal._lanes:
            lane.orphan()


os.register_at_fork(after_in_child=forked)
