"""Which descriptor stands for which file description, in the restorer and in every stub.

The restorer opens all it can before the seed exists, at numbers that no descriptor of the tree has: above all of them,
or, where the limit leaves no room there, in a gap that all processes have in common. Stubs inherit them.
What remembers who opened it (the peer credentials of a socket pair) is opened by the process that did so, once the tree
stands; the restorer fetches it from there, and every holder from the restorer.
"""

from __future__ import annotations

import os
import struct
from itertools import pairwise

from replant.abi import x86_64
from replant.abi.call import Slot, Track
from replant.abi.resource import open_files
from replant.derive.copying import parallel_copy
from replant.errors import ReplantError
from replant.resources import order, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.model.tree import FdTable, File, Model
    from replant.resources.protocol import FileKind, RestoreSide

_F_DUPFD, _F_SETFD, _F_SETFL, _F_SETOWN_EX, _F_SETSIG = 0, 2, 4, 15, 10
_O_PATH = 0o10000000
_O_ASYNC = 0o20000
_ALL = 0xFFFFFFFF
_SPARE = 64  # the restorer's own descriptors, and what is open for a moment
_SETTABLE = os.O_APPEND | os.O_NONBLOCK | os.O_DIRECT | os.O_NOATIME


class Opening:
    """The descriptors of a restore. ``fds`` has a `Slot` for each description until it is opened, then a number."""

    def __init__(self, model: Model, stores: Sequence[int], side: RestoreSide) -> None:
        self.model = model
        self.restorer = Track("replant")
        self.fds: dict[int, Slot | int] = {}
        self._side = side
        self._made: dict[int, tuple[int, Slot | int]] = {}
        self._holders = {d.file: (t.pid, d.fd) for t in reversed(model.tables) for d in reversed(t.entries)}
        self._ourselves: Slot | int = 0
        self._groups = [(kind, files, self._maker(kind, files)) for kind, files in registry.grouped(model.files)]
        kinds = {file.kind: registry.file_kind(file.kind) for file in model.files}
        making, self._attaching = order.levels(kinds, "make"), order.levels(kinds, "attach")
        self._groups.sort(key=lambda row: making[row[1][0].kind])
        taken = {d.fd for t in model.tables for d in t.entries}
        low = sum(len(files) for _, files, maker in self._groups if maker)
        self.lowest, self.highest = _room(taken, len(model.files) + _SPARE, max(low, _SPARE))
        self.stores: list[Slot | int] = [self._raised(fd, self.restorer) for fd in stores]

    def holder(self, number: int) -> tuple[int, int] | None:
        """The first process that holds a description, and its descriptor."""
        return self._holders.get(number)

    def _maker(self, kind: FileKind, files: Sequence[File]) -> int:
        maker = registry.hook(kind, "maker")
        pid: int = maker(files) if maker is not None else 0
        if not pid:
            return 0
        alive = any(t.pid == pid and t.state != "Z" for t in self.model.tasks)
        return pid if alive else 0

    def in_restorer(self) -> Track:
        """What the restorer opens itself."""
        for kind, files, maker in self._groups:
            if not maker:
                self.fds.update(self._open(kind, files, self.restorer))
        if any(maker for _, _, maker in self._groups):
            own = self.restorer.call(x86_64.pidfd_open, os.getpid(), 0, why="by which stubs fetch descriptors")
            self._ourselves = self._raised(own, self.restorer)
        return self.restorer

    def opened(self) -> None:
        """The restorer has run: its descriptors are numbers from here on."""
        self.stores, self._ourselves = [*map(_number, self.stores)], _number(self._ourselves)
        self.fds = {n: _number(fd) for n, fd in self.fds.items()}

    def by_makers(self) -> dict[int, Track]:
        """What processes of the tree open, by pid."""
        tracks: dict[int, Track] = {}
        for kind, files, maker in self._groups:
            if maker:
                on = tracks.setdefault(maker, Track(str(maker)))
                self._made.update({n: (maker, slot) for n, slot in self._open(kind, files, on).items()})
        return tracks

    def fetch(self) -> Track:
        """The restorer takes what the makers have opened; `opened` again afterwards."""
        on = self.restorer
        for number, (pid, slot) in self._made.items():
            pidfd = on.call(x86_64.pidfd_open, pid, 0, why="to fetch a descriptor")
            fd = on.call(x86_64.pidfd_getfd, pidfd, _number(slot), 0, why="descriptor of its maker")
            self.fds[number] = self._raised(fd, on)
            on.call(x86_64.close, fd, why="raised")
            on.call(x86_64.close, pidfd, why="fetched")
        return on

    def fill(self) -> Track:
        """Calls of the restorer, which has every descriptor now: what is queued in one, other descriptors among it.

        What is only in flight has no holder that could do the holder's part.
        """
        on = self.restorer
        for number in sorted(self._in_flight()):
            self._hold(self.model.files[number], self.fds[number], on)
        for kind, files, _ in self._groups:
            fill = getattr(kind, "fill", None)
            if fill is not None:
                fill(files, on, self._side)
        return on

    def _in_flight(self) -> set[int]:
        """The descriptions that are in flight and that no process holds."""
        carriers = registry.having("carries", self.model.files)
        return {n for file, carries in carriers for n in carries(file)} - self._holders.keys()

    def _hold(self, file: File, fd: Slot | int, on: Track) -> None:
        attach = getattr(registry.file_kind(file.kind), "attach", None)
        if attach is not None:
            attach(file, fd, on, self._side)
        if file.flags & _O_ASYNC:
            on.call(x86_64.fcntl, fd, _F_SETFL, file.flags & (_SETTABLE | _O_ASYNC), why="signals by this number")

    def place(self, table: FdTable, on: Track) -> None:
        """Calls of a process that put all its descriptors in their places, then let kinds finish what needs them.

        All descriptors of the restore are above those of the tree, but for those of makers, which come to lie at the
        lowest numbers (pidfd_getfd(2)): to each its own where that can be, so that none is in a ring with others.
        """
        landed = self._landed(table, on)
        wanted = {d.fd: landed[d.file] if d.file in landed else self.fds[d.file] for d in table.entries}
        closing = {d.fd: os.O_CLOEXEC if d.cloexec else 0 for d in table.entries}
        for source, target in parallel_copy(wanted):
            on.call(x86_64.dup3, source, target, closing[target], why="descriptor")
        for fd in landed.values():
            if fd not in wanted:
                on.call(x86_64.close, fd, why="copied")
            elif wanted[fd] == fd and not closing[fd]:
                on.call(x86_64.fcntl, fd, _F_SETFD, 0, why="not closed by execve")
        self._hook("attach", table, on)

    def _landed(self, table: FdTable, on: Track) -> dict[int, int]:
        """What others have made, fetched while nothing lies below the descriptors of the restore: the numbers."""
        made = {d.file: d.fd for d in reversed(table.entries) if d.file in self._made}
        at_home = {fd: file for file, fd in made.items() if fd < len(made)}
        others = iter([file for file, fd in made.items() if fd >= len(made)])
        landed = {}
        for number in range(len(made)):
            file = at_home[number] if number in at_home else next(others)
            fd = self._theirs(file)
            on.call(x86_64.pidfd_getfd, self._ourselves, fd, 0, gives=number, why="made by another process")
            landed[file] = number
        return landed

    def settle(self, table: FdTable, on: Track) -> None:
        """Calls of a process for which all descriptors of the restore must be closed: record locks, O_ASYNC.

        The kernel sends the number by which O_ASYNC was set with each signal (si_fd of sigaction(2)).
        """
        self._hook("settle", table, on)
        first = {d.file: d.fd for d in reversed(table.entries)}
        for file, settle in registry.having("settle_in", [self.model.files[number] for number in sorted(first)]):
            settle(file, table.pid, first[file.number], on, self._side)
        for file, fd in self._held(table):
            if file.flags & _O_ASYNC:
                on.call(x86_64.fcntl, fd, _F_SETFL, file.flags & (_SETTABLE | _O_ASYNC), why="signals by this number")

    def _held(self, table: FdTable) -> list[tuple[File, int]]:
        """The descriptions of which a process is the first holder, and its descriptors."""
        return [(self.model.files[d.file], d.fd) for d in table.entries if self._holders[d.file] == (table.pid, d.fd)]

    def _hook(self, name: str, table: FdTable, on: Track) -> None:
        held = {file.number: fd for file, fd in self._held(table)}
        having = registry.having(name, [self.model.files[number] for number in held])
        for file, hook in sorted(having, key=lambda row: self._attaching[row[0].kind]):
            hook(file, held[file.number], on, self._side)

    def finish(self, on: Track) -> None:
        """Calls of the restorer when all memory and all descriptors stand: seals."""
        self._each("finish", on)

    def wake(self, on: Track) -> None:
        """Calls of the restorer just before the tree runs: connections."""
        self._each("wake", on)

    def _each(self, name: str, on: Track) -> None:
        for file, hook in registry.having(name, self.model.files):
            hook(file, on, self._side)

    def here(self, number: int, on: Track) -> Slot | int:
        """The descriptor of a description in the process of ``on``, until the descriptors of the restore are closed."""
        return self._fetched(number, on) if number in self._made else self.fds[number]

    def _fetched(self, number: int, on: Track) -> Slot:
        fd = on.call(x86_64.pidfd_getfd, self._ourselves, self._theirs(number), 0, why="made by another process")
        raised = self._raised(fd, on)
        on.call(x86_64.close, fd, why="raised")
        return raised

    def _theirs(self, number: int) -> Slot | int:
        """The restorer's descriptor of what a process has made; that process's own as long as nothing has run."""
        return self.fds.get(number, self._made[number][1])

    def owners(self, on: Track) -> None:
        """Calls of the restorer that say who gets the signals of a description, once everybody exists."""
        for file in self.model.files:
            if file.owner:
                fd, o = self.fds[file.number], file.owner
                ours = not o.pid or (o.uid, o.euid) == (os.getuid(), os.geteuid())
                by = on if ours else self._side.stand_in(on, 0, o.euid, -1, o.uid)
                by.call(x86_64.fcntl, fd, _F_SETOWN_EX, struct.pack("<ii", o.type, o.pid), why="owner of signals")
                on.call(x86_64.fcntl, fd, _F_SETSIG, o.signal, why="signal of the owner")

    def _open(self, kind: FileKind, files: Sequence[File], on: Track) -> dict[int, Slot | int]:
        slots = kind.make(files, on, self._side)
        if registry.hook(kind, "DESCRIPTOR") is False:
            return {f.number: slot for f, slot in zip(files, slots, strict=True)}
        seekable = registry.hook(kind, "SEEKABLE") is not False
        return {f.number: self._described(f, slot, seekable, on) for f, slot in zip(files, slots, strict=True)}

    def _described(self, file: File, slot: Slot | int, seekable: bool, on: Track) -> Slot:
        raised = self._raised(slot, on)
        on.call(x86_64.close, slot, why="raised")
        if not file.flags & _O_PATH:
            if file.flags & _SETTABLE:
                on.call(x86_64.fcntl, raised, _F_SETFL, file.flags & _SETTABLE, why="status flags")
            if seekable and file.pos:
                on.call(x86_64.lseek, raised, file.pos, os.SEEK_SET, why="offset")
        return raised

    def _raised(self, fd: Slot | int, on: Track) -> Slot:
        return on.call(x86_64.fcntl, fd, _F_DUPFD, self.lowest, why="where the tree has no descriptor")


def _room(taken: set[int], need: int, low: int) -> tuple[int, int]:
    """The first and the last number of the descriptors of a restore, ``low`` others being below.

    :raises ReplantError: the limit of descriptors leaves no room.
    """
    limit = open_files()[1]
    above = 1 + max(taken, default=2)
    if above + need <= limit:
        return above, _ALL
    for first, last in pairwise([low, *sorted(n for n in taken if n > low), limit]):
        if last - first > need:
            return first + 1, last - 1
    raise ReplantError(
        f"the tree has {len(taken)} descriptors, and {need} more are needed to restore it: the limit is {limit}",
        code="descriptors",
        resource="RLIMIT_NOFILE",
        hint="raise the limit of open files: ulimit -n",
    )


def _number(fd: Slot | int) -> int:
    return fd if isinstance(fd, int) else fd.track.answers[fd.index].ret
