"""Facts from BPF iterators: tables of tasks, mappings and files of the caller's pid namespace."""

from __future__ import annotations

import os

from ...errors import ReplantError
from .. import procfs
from ..facts import File, Task, Vma
from ..field import MISSING, fields_of
from ..record import Record
from ..table import Table
from . import cache
from .context import Context
from .iterate import ENTRY, FILE, TASK, VMA, Filter, Iterator, Kind
from .paths import CWD, EXE, MAPPED, OPENED, ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..field import Field
    from .records import Records

_KINDS: dict[type[Record], Kind] = {Task: TASK, Vma: VMA, File: FILE}
_PATHS = {"exe": EXE, "cwd": CWD, "root": ROOT, "path": MAPPED, "target": OPENED}
_LEVEL = "task->thread_pid->level"


class Unavailable(ReplantError):
    """BPF cannot be used here; says why."""


class Place(Record):
    """Where a process is in the tree, and its number in the initial pid namespace, by which programs filter."""

    pid: int
    ppid: int
    start_ns: int
    tgid: int


class BpfSource:
    """Loads programs as they are needed and keeps them; one object serves many observations."""

    name = "bpf"

    def __init__(self) -> None:
        """Asks the kernel for its layout.

        :raises Unavailable: no right to load programs, no BTF, or the kernel is locked down.
        """
        try:
            self.layout = cache.layout()
            self.chosen = Filter()
            self.level = self._own_level()
            self.context = Context(self.layout, self.level)
        except OSError as error:
            raise Unavailable(_reason(error)) from None
        self.room: dict[type[Record], int] = {}  # how many records are expected, where that is known
        self._iterators: dict[tuple[object, ...], Iterator] = {}

    def _own_level(self) -> int:
        own = Iterator(TASK, {"level": _LEVEL}, self.layout, self.chosen)
        return own.scan(1, tid=os.getpid()).column("level")[0]

    def places(self) -> list[Place]:
        """All processes of the namespace, parents and global numbers: what a choice is made from."""
        names = ("pid", "ppid", "start_ns")
        iterator = self._iterator(Task, names, leaders=True, more={"tgid": "task->tgid"})
        self.chosen.choose(None)
        records = self._scan(iterator, _task_count())
        columns = [self._values(fields_of(Task)[name], iterator, records) for name in names]
        return list(map(Place, *columns, records.column("tgid")))

    def inside(self, pid: int) -> list[int]:
        """All processes that have a number in the pid namespace of ``pid``; none when that has ended."""
        own = "task->thread_pid->numbers[{level}].ns->ns.inum"
        found = self._levels(own, 1, pid)
        if not found:
            return []
        [(_, depth, namespace)] = found
        everybody = self._levels(own.replace("{level}", str(depth)), _task_count())
        return [number for number, level, inode in everybody if level >= depth and inode == namespace]

    def _levels(self, inode: str, expected: int, pid: int = 0) -> list[tuple[int, int, int]]:
        """Pid, depth of its namespace and what the chain ``inode`` leads to, of all processes or of one."""
        number = "0? task->tgid | task->thread_pid->numbers[L].nr"
        iterator = self._iterator(Task, (), leaders=True, more={"level": _LEVEL, "inode": inode, "pid": number})
        self.chosen.choose(None)
        records = iterator.scan(expected, pid=pid)
        return list(zip(*map(records.column, ("pid", "level", "inode")), strict=True))

    def table(
        self, facts: type[Record], names: Sequence[str], tgids: list[int] | None, *, pid: int = 0, leaders: bool = False
    ) -> Table:
        """The named fields of all processes, of those with global numbers ``tgids``, or of ``pid``."""
        declared = fields_of(facts)
        iterator = self._iterator(facts, names, leaders=leaders)
        self.chosen.choose(tgids)
        count = len(tgids) if tgids is not None else 1 if pid else _task_count()
        records = self._scan(iterator, self.room.get(facts) or count * (1 if facts is Task else 64), pid)
        entries = iterator.entries()
        absent = [name for name in names if _is_absent(declared[name], iterator)]
        common = [name for name in names if declared[name].common and name not in absent]
        return Table(
            lambda name: self._values(declared[name], iterator, records),
            {name: self._values(declared[name], iterator, entries) for name in common if entries},
            records.column(ENTRY) if entries else (),
            absent,
        )

    def calibrate(self) -> bool:
        """Learns from the caller's own mappings what bits of vm_flags mean; False when they mean something else."""
        iterator = self._iterator(Vma, ("start",), leaders=False, more={"flags": "vma->vm_flags", "ops": "vma->vm_ops"})
        self.chosen.choose(None)
        pid = os.getpid()
        records = self._scan(iterator, 256, pid)
        starts, flags_of, ops_of = map(records.column, ("vma->vm_start", "flags", "ops"))
        raw = {start: (flags, ops) for start, flags, ops in zip(starts, flags_of, ops_of, strict=True)}
        own = [(m, *raw[m.start]) for m in procfs.maps(pid) if m.start in raw]
        self.context.special_ops = next((ops for m, _, ops in own if m.path == "[vdso]"), 0)
        return all(self.context.learn(flags, m.flags or "") for m, flags, _ in own)

    def _iterator(
        self, facts: type[Record], names: Sequence[str], *, leaders: bool, more: dict[str, str] | None = None
    ) -> Iterator:
        key = (facts, tuple(names), leaders, tuple((more or {}).items()))
        if key not in self._iterators:
            kind = _KINDS[facts]
            paths = [_PATHS[name] for name in names if name in _PATHS]
            kind = Kind(kind.name, kind.structures, paths, leaders=leaders)
            fields = [fields_of(facts)[name] for name in names]
            own = [chain for field in fields for chain in field.kernel if not field.common]
            common = [chain for field in fields for chain in field.kernel if field.common]
            # what a chain indexes by comes first
            columns = {"level": _LEVEL} if any("{level}" in chain for chain in own) else {}
            columns.update(more or {})
            columns.update({chain: chain for chain in own})
            together = {chain: chain for chain in common}
            self._iterators[key] = Iterator(kind, columns, self.layout, self.chosen, self.level, together)
        return self._iterators[key]

    def _scan(self, iterator: Iterator, expected: int, pid: int = 0) -> Records:
        records = iterator.scan(expected, pid=pid)
        if iterator.kind.paths:
            self.context.texts.update(iterator.texts())
        return records

    def _values(self, field: Field, iterator: Iterator, records: Records) -> Sequence[object]:
        if _is_absent(field, iterator):
            return [MISSING] * records.number
        columns = [records.column(chain) for chain in field.kernel]
        if field.decode:
            return list(field.decode(self.context, *columns))
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _is_absent(field: Field, iterator: Iterator) -> bool:
    """Whether the running kernel does not have what the field is made of."""
    return not field.kernel or any(chain in iterator.absent for chain in field.kernel)


def _task_count() -> int:
    """Threads in the system with some room; the loads, running/all, last pid."""
    with open("/proc/loadavg", "rb") as file:
        return int(file.read().split(b"/")[1].split()[0]) * 5 // 4 + 16


_WHY = {
    1: "it needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN",
    2: "the kernel has no type information (CONFIG_DEBUG_INFO_BTF)",
    38: "the kernel has no bpf(2)",
}


def _reason(error: OSError) -> str:
    """What keeps programs from being loaded, from the kernel's error and what else can be known."""
    if "[confidentiality]" in _text("/sys/kernel/security/lockdown"):
        return "the kernel is locked down (confidentiality)"
    return _WHY.get(error.errno or 0, f"the kernel refuses: {error.strerror}")


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
