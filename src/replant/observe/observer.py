"""The one way in: facts about a choice of processes from the best source there is."""

from __future__ import annotations

import gc
import os

from ..errors import ReplantError, TaskGone
from . import procfs
from .crosscheck import IDENTITY
from .facts import File, Task, Vma
from .field import MISSING, fields_of
from .procfs_source import ProcfsSource
from .record import Record
from .rights import hidden, may_know_all
from .table import Table
from .trust import contradiction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    from .bpf.queues import Queues
    from .bpf.restarts import Restart
    from .bpf.source import BpfSource
    from .bpf.terminals import Terminals
    from .bpf.waits import Watch

    F = TypeVar("F", Task, Vma, File)


class Seen(Record):
    """An answer. ``vanished``: chosen processes that ended before they were read; ``hidden``: not for this caller."""

    records: list[tuple[object, ...]]
    vanished: int
    hidden: int
    source: str


class Observer:
    """Observes processes of the caller's pid namespace.

    ``source`` is ``auto``, ``bpf`` or ``procfs``. BPF is used for a kind of facts once it has told the truth about this
    very process; ``reason`` says why it is not. What it cannot give is filled from procfs, record by record. Only
    processes that the caller may ptrace are reported, from either source.
    """

    def __init__(self, source: str = "auto") -> None:
        """Chooses the source.

        :raises ReplantError: ``source`` is ``bpf`` and BPF cannot be used; the code is ``no-bpf``.
        """
        self.reason = "" if source != "procfs" else "not asked for"
        self._bpf: BpfSource | None = None
        self._procfs = ProcfsSource()
        self._only_bpf = source == "bpf"
        self._checked: set[tuple[object, ...]] = set()
        if source != "procfs":
            with _NoCollection():
                self._start_bpf()

    @property
    def source(self) -> str:
        """The source in use, ``bpf`` or ``procfs``."""
        return "bpf" if self._bpf else "procfs"

    def tasks(self, *, tree: int | None = None, pids: Sequence[int] | None = None, threads: bool = False) -> list[Task]:
        """Processes, as their leaders tell, or with ``threads`` every thread: of a tree, of some processes, or all.

        :raises TaskGone: the root of the tree has ended.
        """
        return self._records(Task, tree, pids, leaders=not threads)

    def vmas(self, *, tree: int | None = None, pids: Sequence[int] | None = None) -> list[Vma]:
        """Mappings by process and address.

        :raises TaskGone: the root of the tree has ended.
        """
        return self._records(Vma, tree, pids)

    def files(self, *, tree: int | None = None, pids: Sequence[int] | None = None) -> list[File]:
        """Descriptors by process and number.

        :raises TaskGone: the root of the tree has ended.
        """
        return self._records(File, tree, pids)

    def _records(
        self, facts: type[F], tree: int | None, pids: Sequence[int] | None, *, leaders: bool = True
    ) -> list[F]:
        with _NoCollection():
            seen = self.look(facts, list(fields_of(facts)), tree=tree, pids=pids, leaders=leaders)
            return list(map(facts._make, seen.records))

    def inside(self, pid: int) -> list[int]:
        """Processes of the pid namespace of ``pid``, and of those within it: to be given as ``pids``.

        :raises TaskGone: ``pid`` has ended.
        :raises PermissionError: the caller may not ptrace it.
        """
        if self._bpf is None or not may_know_all():
            from .scope import inside

            return inside(pid)
        found = self._bpf.inside(pid)
        if not found:
            raise TaskGone(pid, "its pid namespace was looked for")
        return found

    def prepare(self, kinds: Sequence[type[Record]], room: Mapping[type[Record], int]) -> None:
        """Loads and checks what these kinds of facts need, so that a frozen tree does not have to wait for it.

        ``room``: how many records there may be of each kind; there is memory for these from then on.
        """
        if self._bpf:
            self._bpf.room.update(room)
        own = [os.getpid()]
        for kind in kinds:
            self._records(kind, None, own, leaders=kind is not Task)  # type: ignore[type-var]

    def queues(self, pids: Sequence[int], kind: type[Queues] | None = None) -> Queues | None:
        """What waits in epoll sets, unix sockets and for signals, of those the caller may ptrace; only BPF can tell.

        ``kind``: another reader of the kernel's memory.
        """
        if self._bpf is None:
            return None
        from .bpf.queues import Queues

        forbidden = hidden(pids)
        numbers = {pid: n for pid, n in self._among(pids).items() if n and pid not in forbidden}
        return (kind or Queues)(self._bpf, numbers)

    def terminals(self, pids: Sequence[int]) -> Terminals | None:
        """The terminals of processes that the caller may ptrace; only BPF can tell."""
        if self._bpf is None:
            return None
        from .bpf.terminals import Terminals

        forbidden = hidden(pids)
        return Terminals(self._bpf, {pid: n for pid, n in self._among(pids).items() if n and pid not in forbidden})

    def restarts(self, pids: Sequence[int]) -> dict[int, Restart] | None:
        """When the interrupted sleeps of stopped threads are to end, by thread; only BPF can tell."""
        if self._bpf is None:
            return None
        from .bpf.restarts import restarts

        forbidden = hidden(pids)
        return restarts(self._bpf, {pid: n for pid, n in self._among(pids).items() if n and pid not in forbidden})

    def waits(self) -> Watch | None:
        """Somebody who looks on when calls are interrupted, and knows when they were to end; only BPF can."""
        if self._bpf is None:
            return None
        from .bpf.waits import Watch

        try:
            return Watch(self._bpf)
        except OSError as error:
            self.reason = f"interrupted waits cannot be looked at: {error.strerror}"
            return None

    def look(
        self,
        facts: type[Record],
        names: Sequence[str],
        *,
        tree: int | None = None,
        pids: Sequence[int] | None = None,
        leaders: bool = True,
    ) -> Seen:
        """The named fields as plain tuples in the order asked for, and what is not among them: the fastest answer.

        :raises TaskGone: the root of the tree has ended.
        """
        with _NoCollection():
            return self._look(facts, names, tree, pids, leaders)

    def _look(
        self,
        facts: type[Record],
        names: Sequence[str],
        tree: int | None,
        pids: Sequence[int] | None,
        leaders: bool,
    ) -> Seen:
        self._procfs.denied.clear()
        wanted = [*names, *[name for name in IDENTITY[facts] if name not in names]]
        if self._bpf and self._trust(facts, wanted, leaders):
            table, chosen = self._look_bpf(facts, wanted, tree, pids, leaders)
        else:
            chosen = _choose(tree, pids)
            columns = self._procfs.columns(facts, wanted, chosen, leaders=leaders)
            table = Table(dict(zip(wanted, columns, strict=True)).__getitem__)
        return self._answer(facts, names, table, chosen)

    def _answer(
        self,
        facts: type[Record],
        names: Sequence[str],
        table: Table,
        chosen: Sequence[int] | None,
    ) -> Seen:
        owner = IDENTITY[facts][0]
        forbidden = frozenset() if may_know_all() else hidden(table.column(owner))
        rows = table.rows(names)
        if forbidden:
            rows = [row for row, pid in zip(rows, table.column(owner), strict=True) if pid not in forbidden]
        # mappings and files are of those who have any: only tasks tell who is gone
        vanished = len(set(chosen).difference(table.column(owner))) if chosen is not None and facts is Task else 0
        return Seen(rows, vanished, len(forbidden | self._procfs.denied), self.source)

    def _look_bpf(
        self, facts: type[Record], names: list[str], tree: int | None, pids: Sequence[int] | None, leaders: bool
    ) -> tuple[Table, Sequence[int] | None]:
        assert self._bpf
        self._bpf.context.forget()
        if tree is None and pids is not None and len(pids) == 1:
            chosen, table = pids, self._bpf.table(facts, names, None, pid=pids[0], leaders=leaders)
        elif tree is None and pids is None:
            chosen, table = None, self._bpf.table(facts, names, None, leaders=leaders)
        else:
            numbers = self._below(tree) if tree is not None else self._among(pids or ())
            chosen, table = list(numbers), self._bpf.table(facts, names, list(numbers.values()), leaders=leaders)
        return self._filled(facts, names, table, leaders), chosen

    def _below(self, root: int) -> dict[int, int]:
        """Pids of a tree and their global numbers, parents before children."""
        assert self._bpf
        children: dict[int, list[int]] = {}
        numbers = {}
        for place in self._bpf.places():
            children.setdefault(place.ppid, []).append(place.pid)
            numbers[place.pid] = place.tgid
        if root not in numbers:
            raise TaskGone(root, "its tree was looked for")
        found = [root]
        for pid in found:
            found += children.get(pid, ())
        return {pid: numbers[pid] for pid in found}

    def _among(self, pids: Sequence[int]) -> dict[int, int]:
        assert self._bpf
        if self._bpf.level == 0:
            return dict(zip(pids, pids, strict=True))
        numbers = {place.pid: place.tgid for place in self._bpf.places()}
        # a number that is nobody's: the process has ended, and is counted as such
        return {pid: numbers.get(pid, 0) for pid in pids}

    def _filled(self, facts: type[Record], names: list[str], table: Table, leaders: bool) -> Table:
        """Takes from procfs what BPF could not tell, for those records only."""
        lacking = [name for name in names if _lacks(facts, name, table)]
        if not lacking:
            return table
        columns = {name: table.column(name) for name in names}
        keys = list(zip(*[columns[name] for name in IDENTITY[facts]], strict=True))
        pids = {key[0] for name in lacking for key, value in zip(keys, columns[name], strict=True) if value is MISSING}
        rows = zip(*self._procfs.columns(facts, [*IDENTITY[facts], *lacking], pids, leaders=leaders), strict=True)
        told = {row[:2]: row[2:] for row in rows}
        for at, name in enumerate(lacking):
            columns[name] = [
                told[key][at] if value is MISSING and key in told else value
                for key, value in zip(keys, columns[name], strict=True)
            ]
        return Table(columns.__getitem__)

    def _start_bpf(self) -> None:
        from .bpf.source import BpfSource, Unavailable

        try:
            self._bpf = BpfSource()
        except Unavailable as error:
            self._distrust(str(error))

    def _distrust(self, reason: str) -> None:
        self._bpf = None
        self.reason = reason
        if self._only_bpf:
            raise ReplantError(f"BPF cannot be used: {reason}", code="no-bpf", hint="use --source procfs")

    def _trust(self, facts: type[Record], names: list[str], leaders: bool) -> bool:
        """Compares what BPF says about this very process with /proc/self, once for every set of fields."""
        key = (facts, *names, leaders)
        if self._bpf and key not in self._checked:
            self._checked.add(key)
            problem = contradiction(self._bpf, self._procfs, facts, names, leaders)
            if problem:
                self._distrust(problem)
        return self._bpf is not None


class _NoCollection:
    """No garbage collection for a while: tuples of numbers make no cycles, and to look for some takes as long again."""

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            gc.enable()


def _lacks(facts: type[Record], name: str, table: Table) -> bool:
    """Whether procfs can help: what is not decoded, and what is not declared so, is MISSING everywhere or nowhere."""
    field = fields_of(facts)[name]
    if not field.procfs or name in table.absent:
        return bool(field.procfs)
    return bool(field.decode) and "Missing" in facts.__annotations__[name] and MISSING in table.values(name)


def _choose(tree: int | None, pids: Sequence[int] | None) -> Sequence[int]:
    if tree is not None:
        return [node.pid for node in procfs.tree(tree)]
    return procfs.pids() if pids is None else pids
