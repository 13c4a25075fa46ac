"""An iterator of ours: a plan as a program, records in a memory-mapped array, one read(2) for the whole scan.

    0 number of records u64 | 64 scratch, then the records

A record that does not fit is counted and not written, and the scan is repeated with enough room. What records have in
common stands beside them (:mod:`.common`), as the texts of paths do (:mod:`.paths`).
"""

from __future__ import annotations

from struct import unpack_from

from ...abi import bpf
from . import calls
from .asm import R1, R2, R3, R4, R6, R8, R9, Code
from .common import Common
from .kernel import Layout
from .paths import Paths
from .plan import RECORD, SCRATCH, Plan
from .records import Records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .paths import Pair, Steps

PID_LIMIT = 1 << 22  # PID_MAX_LIMIT of a 64-bit kernel
HEADER = 64
_LEAST = 16  # records there is always room for: the program is not loaded anew for the second process


class Filter:
    """The processes to report, a bit for each number in the initial pid namespace.

    0 whether to look at the bits | 8 the bits
    """

    def __init__(self) -> None:
        self.memory = calls.Memory(PID_LIMIT // 8 + 8)
        self.chosen: list[int] = []

    def choose(self, tgids: list[int] | None) -> None:
        """Reports these processes only; ``None`` is all that the iterator shows."""
        view = self.memory.view
        view[0] = tgids is not None
        # a tree is looked at for its tasks, its mappings and its files: the bits are still there
        if tgids is None or tgids == self.chosen:
            return
        for tgid in self.chosen:
            view[8 + (tgid >> 3)] = 0
        self.chosen = tgids
        for tgid in tgids:
            view[8 + (tgid >> 3)] |= 1 << (tgid & 7)


class Kind:
    """What an iterator is over: its name, the objects of its context by offset, which of them are needed."""

    def __init__(
        self, name: str, structures: Mapping[str, str], paths: Sequence[Steps] = (), *, leaders: bool = False
    ) -> None:
        self.name = name
        self.structures = structures
        self.paths = paths
        self.leaders = leaders


TASK = Kind("task", {"task": "task_struct"})
VMA = Kind("task_vma", {"task": "task_struct", "vma": "vm_area_struct"})
FILE = Kind("task_file", {"task": "task_struct", "file": "file"})

ENTRY = "entry"
_BEFORE = {TASK.name: {"address": "Q"}, FILE.name: {"address": "Q", "number": "Q"}}


class Iterator:
    """A kind of iterator with a fixed set of columns; :meth:`scan` runs it, growing the sink as needed.

    ``common``: columns of the entries that records have in common.
    """

    def __init__(
        self,
        kind: Kind,
        columns: Mapping[str, str],
        layout: Layout,
        chosen: Filter,
        level: int = 0,
        common: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.layout = layout
        self.chosen = chosen
        registers = {"task": R6, "vma": R8, "file": R8}
        # what no structure holds: the descriptor, and the address of the object, which is its identity
        before = {**_BEFORE.get(kind.name, {}), **({ENTRY: "Q"} if common else {})}
        roots = {word: (structure, registers[word]) for word, structure in kind.structures.items()}
        self.plan = Plan(layout, roots, level, before)
        self.absent = [name for name, chain in columns.items() if not self.plan.add(name, chain)]
        self.absent += [name for name, chain in (common or {}).items() if not self.plan.add(name, chain, entry=True)]
        self.plan.place()
        self.first = HEADER + self.plan.scratch
        self.capacity = 0
        self.common: Common | None = None
        self.common_room = 0
        self.path_room = 1 << 16
        self.paths: Paths | None = None

    def scan(self, expected: int, pid: int = 0, tid: int = 0) -> Records:
        """All records; ``expected`` is a guess of their number."""
        if expected > self.capacity:
            self._load(max(expected, _LEAST))
        while True:
            found = self._run(pid, tid)
            missing = self.paths.missing() if self.paths else 0
            entries = self.common.found() if self.common else 0
            if found <= self.capacity and not missing and (not self.common or entries <= self.common.capacity):
                return Records(self.sink.view, self.first, found, self.plan.size, self.plan.spots)
            self.path_room = max(self.path_room, 2 * (self.path_room + missing))
            self.common_room = max(self.common_room, entries + entries // 4)
            self._load(max(self.capacity, found + found // 4))

    def entries(self) -> Records | None:
        """What records of the last scan have in common; None when no such columns were asked for."""
        return self.common.entries() if self.common else None

    def texts(self) -> dict[Pair, str]:
        """Texts of the paths of the last scan by (mount, dentry)."""
        return self.paths.texts() if self.paths else {}

    def _run(self, pid: int, tid: int) -> int:
        self.sink.view[:8] = bytes(8)
        if self.common:
            self.common.clear()
        if self.paths:
            self.paths.clear()
        calls.run_iterator(calls.link_iterator(self.program, pid=pid, tid=tid))
        found: int = unpack_from("=Q", self.sink.view)[0]
        return found

    def _load(self, capacity: int) -> None:
        self.capacity = capacity
        self.sink = calls.Memory(self.first + capacity * self.plan.size)
        if ENTRY in self.plan.columns:
            self.common = Common(self.plan, self.common_room)
        self.paths = Paths(self.layout, self.path_room) if self.kind.paths else None
        name = f"bpf_iter_{self.kind.name}"
        self.program = calls.prog_load(
            self._code().assemble(), bpf.PROG_TYPE_TRACING, attach=bpf.TRACE_ITER, attach_btf_id=self.layout.ids[name]
        )

    def _code(self) -> Code:
        code = Code()
        code.mov(R9, R1)
        code.load(8, R6, R9, 8)
        code.jump("out", bpf.JEQ_K, R6)
        if self.kind.name != "task":
            code.load(8, R8, R9, 24 if self.kind.name == FILE.name else 16)
            code.jump("out", bpf.JEQ_K, R8)
        self._filter(code)
        self._take(code)
        if self.kind.name == FILE.name:
            code.load(4, R1, R9, 16)
            code.store(8, RECORD, 0, R8)
            code.store(8, RECORD, 8, R1)
        elif self.kind.name == TASK.name:
            code.store(8, RECORD, 0, R6)
        code.map_value(SCRATCH, self.sink.handle.fd, HEADER)
        self.plan.emit(code)
        if self.common:
            self.common.emit(code, RECORD, self.plan.columns[ENTRY].offset, "out")
        for steps in self.kind.paths:
            assert self.paths
            self.paths.emit(code, R6 if self.kind.name == TASK.name else R8, steps)
        code.label("out")
        code.leave()
        return code

    def _filter(self, code: Code) -> None:
        at = self.layout.places
        code.load(4, R4, R6, at["task_struct", "tgid"].offset)
        if self.kind.leaders:
            code.load(4, R1, R6, at["task_struct", "pid"].offset)
            code.jump("out", bpf.JNE_X, R1, R4)
        code.map_value(R2, self.chosen.memory.handle.fd)
        code.load(1, R1, R2)
        code.jump("take", bpf.JEQ_K, R1)
        code.jump("out", bpf.JGE_K, R4, imm=PID_LIMIT)
        code.mov(R3, R4)
        code.op(bpf.RSH_K, R3, imm=3)
        code.op(bpf.ADD_X, R2, R3)
        code.load(1, R1, R2, 8)
        code.op(bpf.AND_K, R4, imm=7)
        code.op(bpf.RSH_X, R1, R4)
        code.op(bpf.AND_K, R1, imm=1)
        code.jump("out", bpf.JEQ_K, R1)
        code.label("take")

    def _take(self, code: Code) -> None:
        """The next record of the sink to RECORD; what does not fit is counted, so that the next run has room."""
        code.map_value(R2, self.sink.handle.fd)
        code.load(8, R1, R2)
        code.mov(R3, R1)
        code.add(R3, 1)
        code.store(8, R2, 0, R3)
        code.jump("out", bpf.JGE_K, R1, imm=self.capacity)
        code.op(bpf.MUL_K, R1, imm=self.plan.size)
        code.map_value(RECORD, self.sink.handle.fd, self.first)
        code.op(bpf.ADD_X, RECORD, R1)
