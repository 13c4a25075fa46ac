"""Facts from /proc: slower by far, there for everybody, and what the other source is compared with."""

from __future__ import annotations

import os
from _operator import attrgetter  # operator itself is not imported by anything else here

from ..errors import TaskGone
from . import procfs
from .facts import Task, Vma
from .field import MISSING, fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from .record import Record

    Row = tuple[object, ...]
    Reader = Callable[[object], object]

_LINKED_NAMESPACES = {
    **{f"ns_{name}": name for name in ("uts", "ipc", "mnt", "net", "cgroup", "time", "user")},
    "ns_time_children": "time_for_children",
    "ns_pid_children": "pid_for_children",
    "ns_pid_own": "pid",
}


class Files:
    """The files of one task: each is read when a field first asks for it; one that may not be read is MISSING."""

    def __init__(self, pid: int, tid: int | None = None) -> None:
        self.pid = pid
        self.tid = tid

    def __getattr__(self, name: str) -> Any:
        try:
            value: Any = self._read(name)
        except (PermissionError, ProcessLookupError):
            value = MISSING
        except FileNotFoundError:
            # a file that this kernel was built without; a task that has gone raises TaskGone
            value = MISSING
        self.__dict__[name] = value
        return value

    def _read(self, name: str) -> object:
        if name in _LINKED_NAMESPACES:
            inodes: dict[str, int] = self.namespaces
            return inodes and inodes.get(_LINKED_NAMESPACES[name], 0)
        if name in _THREAD:
            return _THREAD[name](self.pid, self.tid)
        if name in _PROCESS:
            return _PROCESS[name](self.pid)
        return _DERIVED[name](self)


_THREAD: dict[str, Callable[[int, int | None], object]] = {
    "stat": procfs.stat,
    "status": procfs.status_text,
    "exe": procfs.exe,
    "cwd": procfs.cwd,
    "root": procfs.root,
    "namespaces": procfs.namespaces,
    "auxv": procfs.auxv,
    "limits": procfs.limits,
    "personality": procfs.personality,
    "oom_score_adj": procfs.oom_score_adj,
}
_PROCESS: dict[str, Callable[[int], object]] = {"timers": procfs.timers}
_DERIVED: dict[str, Callable[[Any], object]] = {
    "rlimits": lambda files: files.limits and tuple(map(tuple, files.limits.values())),
    "has_timers": lambda files: files.timers if files.timers is MISSING else bool(files.timers),
    "comm": lambda files: files.stat.comm[:15] if files.stat.flags & _PF_KTHREAD else files.stat.comm,
}
# procfs decorates the names of kernel threads with their work queue
_PF_KTHREAD = 0x00200000


class _Descriptor:
    """What procfs says of one descriptor, in the units of the facts."""

    def __init__(self, pid: int, fd: procfs.Fd, info: procfs.FdInfo) -> None:
        self.pid = pid
        self.info = info
        self.number, self.target, self.mode, dev, self.inode, rdev, self.size, self.nlink = fd
        self.has_more = bool(info.rest)
        self.dev = (os.major(dev), os.minor(dev))
        self.rdev = (os.major(rdev), os.minor(rdev))


class _Mapping:
    """A mapping with its process."""

    def __init__(self, pid: int, mapping: procfs.Mapping) -> None:
        self.pid = pid
        self.start, self.end, self.prot, self.shared, self.offset, self.dev, self.inode, self.path, self.flags = mapping


class ProcfsSource:
    """Reads process by process; those that end meanwhile, or that may not be read, are left out."""

    name = "procfs"

    def __init__(self) -> None:
        self.denied: set[int] = set()

    def columns(
        self, facts: type[Record], names: Sequence[str], pids: Iterable[int], *, leaders: bool = True
    ) -> list[Sequence[object]]:
        """The named fields, a list each, of these processes."""
        make = _row(facts, names)
        rows: list[Row] = []
        for pid in pids:
            try:
                rows += [make(subject) for subject in _subjects(facts, names, pid, leaders)]
            except TaskGone:
                continue
            except PermissionError:
                # what a process maps and opens is guarded whole; its facts as a task are guarded file by file
                self.denied.add(pid)
        return list(zip(*rows, strict=True)) or [()] * len(names)


def _subjects(facts: type[Record], names: Sequence[str], pid: int, leaders: bool) -> Iterable[object]:
    if facts is Task:
        return [Files(pid)] if leaders else [Files(pid, tid if tid != pid else None) for tid in procfs.threads(pid)]
    if facts is Vma:
        # the vsyscall page is drawn into every maps file and is nobody's mapping
        found = procfs.maps(pid, vmflags="vm_flags" in names)
        return [_Mapping(pid, mapping) for mapping in found if mapping.path != "[vsyscall]"]
    infos = procfs.fdinfos(pid)
    return [_Descriptor(pid, fd, infos[fd.number]) for fd in procfs.fds(pid) if fd.number in infos]


def _row(facts: type[Record], names: Sequence[str]) -> Callable[[object], Row]:
    declared = fields_of(facts)
    sources = [declared[name].procfs for name in names]
    readers: list[Reader] = [attrgetter(source) if source else _missing for source in sources]
    return lambda subject: tuple([read(subject) for read in readers])


def _missing(_subject: object) -> object:
    return MISSING
