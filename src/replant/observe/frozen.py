"""A stopped tree as procfs would show it, from one pass over all of it: what a dump reads under freeze.

The functions are those of :mod:`.procfs`, with the same records, so either can be given to whoever reads. Four scans
serve a tree of any size; read from procfs are only the descriptors whose fdinfo has more lines than every file's, and
what BPF cannot give.
"""

from __future__ import annotations

import os
from _operator import itemgetter

from ..errors import TaskGone
from . import procfs
from .facts import File, Task, Vma
from .field import MISSING, fields_of
from .observer import Observer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    R = TypeVar("R", Vma, File)


# below, loading programs takes longer than reading a few files
_MANY = 8


class Frozen:
    """The facts of some processes, ``pids``, all of whose threads are stopped; asked for only once they are.

    Of a Stat or Status only the fields are filled that :class:`.facts.Task` has; the others are MISSING.
    """

    def __init__(self, pids: Sequence[int], observer: Observer | None = None) -> None:
        self.observer = observer or Observer("auto" if len(pids) >= _MANY else "procfs")
        self.pids = pids
        self._tasks: dict[int, Task] = {}
        self._vmas: dict[int, list[Vma]] | None = None
        self._files: dict[int, list[File]] | None = None

    def task(self, pid: int, tid: int | None = None) -> Task:
        """All facts about a process, or about one of its threads.

        :raises TaskGone: there is none.
        """
        if not self._tasks:
            self._tasks = {task.pid: task for task in self.observer.tasks(pids=self.pids, threads=True)}
        number = pid if tid is None else tid
        if number not in self._tasks:
            raise TaskGone(number, "the tree was observed")
        return self._tasks[number]

    def stat(self, pid: int, tid: int | None = None) -> procfs.Stat:
        """As :func:`.procfs.stat`."""
        return procfs.Stat._make(_stat_of((*self.task(pid, tid), MISSING)))

    def status(self, pid: int, tid: int | None = None) -> procfs.Status:
        """As :func:`.procfs.status`."""
        return procfs.Status._make(_status_of((*self.task(pid, tid), MISSING)))

    def maps(self, pid: int) -> list[procfs.Mapping]:
        """As :func:`.procfs.maps`, with the flags."""
        if self._vmas is None:
            self._vmas = _by_pid(self.observer.vmas(pids=self.pids))
        return [procfs.Mapping._make(vma[1:10]) for vma in self._vmas.get(pid, ())]

    def files(self, pid: int) -> list[File]:
        """The facts about the descriptors of a process."""
        if self._files is None:
            self._files = _by_pid(self.observer.files(pids=self.pids))
        return self._files.get(pid, [])

    def fds(self, pid: int) -> list[procfs.Fd]:
        """As :func:`.procfs.fds`."""
        return [_fd(file) for file in self.files(pid)]

    def fdinfos(self, pid: int) -> dict[int, procfs.FdInfo]:
        """As :func:`.procfs.fdinfos`; the file itself is read only where it has more to tell."""
        return {file.fd: _info(pid, file) for file in self.files(pid)}


def _fd(file: File) -> procfs.Fd:
    dev = os.makedev(*file.dev) if isinstance(file.dev, tuple) else file.dev
    values = (file.fd, file.target, file.mode, dev, file.inode, os.makedev(*file.rdev))
    return procfs.Fd._make((*values, file.size, file.nlink))


def _info(pid: int, file: File) -> procfs.FdInfo:
    if file.more_info:
        return procfs.fdinfo(pid, file.fd)
    return procfs.FdInfo._make((file.pos, file.flags, file.mnt_id, file.inode, ()))


def _by_pid(records: list[R]) -> dict[int, list[R]]:
    found: dict[int, list[R]] = {}
    for record in records:
        found.setdefault(record.pid, []).append(record)
    return found


def _same_file(file: str) -> dict[str, str]:
    """Fields of a file of procfs and those of Task that are declared to stand there."""
    sources = {f.procfs: name for name, f in fields_of(Task).items() if not f.moving}
    return {source.partition(".")[2]: name for source, name in sources.items() if source.startswith(file + ".")}


_STAT = {**_same_file("stat"), "comm": "comm"}
_STATUS = {**_same_file("status"), "name": "comm", "pid": "pid", "ppid": "ppid", "state": "state", "threads": "threads"}


def _picker(fields: Sequence[str], sources: Mapping[str, str]) -> Callable[[Sequence[object]], tuple[object, ...]]:
    """Picks from the values of a Task, with a MISSING behind them, those that another record is made of."""
    return itemgetter(*[Task._fields.index(sources[name]) if name in sources else -1 for name in fields])


_stat_of, _status_of = _picker(procfs.Stat._fields, _STAT), _picker(procfs.Status._fields, _STATUS)
