"""Dumps that stop a tree only while its processes are copied in memory; pages are saved from the copies afterwards.

All processes are copied while all are stopped: the image is of one instant. A copy has the private memory of its
process, shared with it page by page until one of them writes (copy-on-write); what it has not is saved at once:

* contents of shared mappings are saved with the files behind them while the tree is looked at, as in every dump;
* areas of MADV_DONTFORK and MADV_WIPEONFORK are read from the process itself; so are private huge pages of hugetlbfs,
  which the kernel takes away from a copy when the pool is empty;
* all of a process that no code of ours can run in, that is under seccomp, or that may not fork (RLIMIT_NPROC,
  pids.max, a deadline).

What it costs: a page that the program writes to meanwhile is copied first, 2 to 4 µs each, and is there twice until
the dump is over. If it writes to all of it, its private memory doubles, and so much must be free.
"""

from __future__ import annotations

import os
import time
from struct import Struct

from replant.errors import ReplantError, TaskGone
from replant.flows.saving import Contents, Known, pages
from replant.journal import current
from replant.journal.known import DECISION
from replant.model.invariants import PAGE
from replant.resources import registry
from replant.tracee.copies import Copies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from replant.model.tree import Mm, Model
    from replant.pages.store import PageWriter
    from replant.tracee.freeze import FrozenTree

_NOT_FORKED = frozenset(("dc", "wf", "ht"))
_TABLES = 512  # bytes of memory that a byte of page tables maps
_KIB = 1024
_row = Struct("<QQQ")


class Snapshot(Contents):
    """Contents that outlive the freeze."""

    def __init__(self, known: Known) -> None:
        super().__init__(known)
        self._copies = Copies()
        self._saved: dict[int, bytes] = {}
        self._since = 0

    def hold(self, frozen: FrozenTree, model: Model, store: PageWriter, written: Callable[[int], None]) -> None:
        """Copy all processes, and save what copies do not have."""
        living = [task for task in frozen.tasks if not task.zombie]
        here = {task.pid: task for task in living}
        apart = [part for part in (_part(mm, forked=False) for mm in model.mms) if part.vmas]
        copied = [_part(mm, forked=True) for mm in model.mms]
        scans, self.scans = self.known.scans(apart), self.known.scans(copied)
        self.known.begin(here, model.mms)
        with current().phase("copies"):
            self._since = time.monotonic_ns()
            self._copies.make(living, {task.pid for task in model.tasks if task.subreaper})
            self.tasks = self._copies.tasks
            self.copies = len(self.tasks)
            self._give_up_counted(model)
        with current().phase("pages no copy has"):
            for mm in pages(apart, here, scans, store, written):
                self._saved[mm.pid] = mm.runs
            without = [mm for mm in copied if mm.pid not in self.tasks]
            for mm in pages(without, here, self.scans, store, written):
                why = self._copies.failed.get(mm.pid, "it has no copy")
                DECISION(current(), mm.pid, "its pages are saved while it is stopped", why)
                self._saved[mm.pid] = _joined(self._saved.get(mm.pid, b""), mm.runs)

    def save(self, mms: Iterable[Mm], store: PageWriter, written: Callable[[int], None]) -> Iterator[Mm]:
        """The address spaces; the copies end with the last one."""
        for mm in mms:
            runs = self._saved.get(mm.pid, b"")
            if mm.pid in self.tasks:
                (done,) = pages([_part(mm, forked=True)], self.tasks, self.scans, store, written)
                runs = _joined(runs, done.runs)
            yield mm._replace(runs=runs)
        self._end()

    def _give_up_counted(self, model: Model) -> None:
        """Unmap in copies what programs could count the mappings of."""
        counted = {f.number for f in model.files if getattr(registry.file_kind(f.kind), "COUNTED", False)}
        for mm in model.mms:
            mappings = [(v.start, v.end - v.start) for v in mm.vmas if v.file in counted]
            if mappings and mm.pid in self.tasks:
                self._copies.unmap(mm.pid, mappings)

    def __exit__(self, *_: object) -> None:
        self._copies.end()

    def _end(self) -> None:
        self.copies_bytes = sum(_own_memory(task.pid) for task in self.tasks.values())
        self._copies.end()
        self.copies_ms = (time.monotonic_ns() - self._since) / 1e6


def _part(mm: Mm, forked: bool) -> Mm:
    """Of an address space what a copy has, or what it has not."""
    return mm._replace(vmas=tuple(v for v in mm.vmas if forked == (not _NOT_FORKED & {*v.flags.split()})))


def _joined(some: bytes, others: bytes) -> bytes:
    """Two lists of saved pages as one, in order of address."""
    if not some or not others:
        return some or others
    return b"".join(_row.pack(*row) for row in sorted((*_row.iter_unpack(some), *_row.iter_unpack(others))))


def _own_memory(pid: int) -> int:
    """Bytes that no other process has as well; 0 if that cannot be asked."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as file:
            words = [line.split() for line in file]
    except OSError:
        return 0
    return sum(int(w[1]) * _KIB for w in words if w[0] in ("Private_Clean:", "Private_Dirty:"))


def check_room(root: int) -> None:
    """See that there is memory for a tree that writes to all of its own while it is saved.

    :raises ReplantError: there is not.
    """
    pids = _tree(root)
    wanted = sum(_private_memory(pid) for pid in pids)
    wanted += wanted // _TABLES + PAGE * len(pids)
    room, where = min([(_available(), "this host"), *_rooms(root)])
    if wanted > room:
        raise ReplantError(
            f"a snapshot of the tree of {root} can need {wanted >> 20} MiB of memory, {where} has {room >> 20} left",
            code="no-memory",
            pid=root,
            hint="dump it without --snapshot: it is stopped for longer then, but needs no memory",
        )


def _tree(root: int) -> list[int]:
    """A running process and its descendants, as of now."""
    found = [root]
    for pid in found:
        try:
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/children", "rb") as file:
                    found += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _private_memory(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return sum(int(line.split()[1]) * _KIB for line in file if line.startswith("RssAnon:"))
    except (FileNotFoundError, ProcessLookupError, TaskGone):
        return 0


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next((int(line.split()[1]) * _KIB for line in file if line.startswith("MemAvailable:")), 0)


def _rooms(pid: int) -> Iterator[tuple[int, str]]:
    """What the control groups of a process (cgroup v2) still allow, and their names."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            path = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "/")
    except OSError:
        return
    while path not in ("", "/"):
        try:
            limit, used = (_number(f"/sys/fs/cgroup{path}/memory.{name}") for name in ("max", "current"))
            yield max(0, limit - used), f"control group {path}"
        except (OSError, ValueError):  # no limit, or not to be seen from here
            pass
        path = os.path.dirname(path)


def _number(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())
