"""An iterator of ours: a plan as a program, records in a memory-mapped array, one read(2) for the whole scan.

The sink, and the texts of paths beside it (each struct path once, as far as a cache of the last ones remembers):

    sink    0 records u64 | 64 records, `size` bytes each
    texts   0 end of area u64 | 64 cache of addresses, 1024 x u64 | entries: struct path u64, length s64, text

When either is too small the program counts on without writing, and the scan is repeated with enough room.
"""

from __future__ import annotations

from struct import unpack_from

from ...abi import bpf
from . import calls
from .asm import R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Code
from .layout import Layout
from .plan import Plan, Records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Steps = tuple[tuple[str, str], ...]

PID_LIMIT = 1 << 22  # PID_MAX_LIMIT of a 64-bit kernel
HEADER = 64
_CACHE = 1024
_TEXTS = HEADER + _CACHE * 8
PATH_MAX = 4096


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
        for tgid in self.chosen:
            view[8 + (tgid >> 3)] = 0
        self.chosen = tgids or []
        for tgid in self.chosen:
            view[8 + (tgid >> 3)] |= 1 << (tgid & 7)
        view[0] = tgids is not None


class Kind:
    """What an iterator is over: its name, the objects of its context by offset, which of them are needed."""

    def __init__(
        self, name: str, structures: Mapping[str, str], paths: Sequence[Steps] = (), *, leaders: bool = False
    ) -> None:
        self.name = name
        self.structures = structures
        self.paths = paths
        self.leaders = leaders


# how to come from the object to a struct path: pointers to follow, then the member that is one
EXE: Steps = (("task_struct", "mm"), ("mm_struct", "exe_file"), ("file", "f_path"))
CWD: Steps = (("task_struct", "fs"), ("fs_struct", "pwd"))
ROOT: Steps = (("task_struct", "fs"), ("fs_struct", "root"))

TASK = Kind("task", {"task": "task_struct"})
VMA = Kind(
    "task_vma", {"task": "task_struct", "vma": "vm_area_struct"}, [(("vm_area_struct", "vm_file"), ("file", "f_path"))]
)
FILE = Kind("task_file", {"task": "task_struct", "file": "file"}, [(("file", "f_path"),)])


class Iterator:
    """A kind of iterator with a fixed set of columns; :meth:`scan` runs it, growing the sink as needed."""

    def __init__(self, kind: Kind, columns: Mapping[str, str], layout: Layout, chosen: Filter, level: int = 0) -> None:
        self.kind = kind
        self.layout = layout
        self.chosen = chosen
        registers = {"task": R6, "vma": R8, "file": R8}
        # what no structure holds: the descriptor, and the address of the file, which is its identity
        before = {"number": "Q", "address": "Q"} if kind.name == FILE.name else {}
        roots = {word: (structure, registers[word]) for word, structure in kind.structures.items()}
        self.plan = Plan(layout, roots, level, before)
        self.absent = [name for name, chain in columns.items() if not self.plan.add(name, chain)]
        self.plan.place()
        self.capacity = 0
        self.path_bytes = _TEXTS + PATH_MAX + (1 << 18 if kind.paths else 0)

    def scan(self, expected: int, pid: int = 0, tid: int = 0) -> Records:
        """All records; ``expected`` is a guess of their number."""
        if expected > self.capacity:
            self._load(expected)
        while True:
            found, paths = self._run(pid, tid)
            if found <= self.capacity and paths <= self.path_bytes - PATH_MAX:
                return Records(self.sink.view, HEADER, found)
            self.path_bytes = max(self.path_bytes, paths * 2)
            self._load(max(self.capacity, found + found // 4))

    def _run(self, pid: int, tid: int) -> tuple[int, int]:
        self.sink.view[:8] = bytes(8)
        self.paths.view[:_TEXTS] = _TEXTS.to_bytes(8, "little") + bytes(_TEXTS - 8)
        calls.run_iterator(calls.link_iterator(self.program, pid=pid, tid=tid))
        return unpack_from("=Q", self.sink.view)[0], unpack_from("=Q", self.paths.view)[0]

    def texts(self) -> dict[int, bytes]:
        """Paths of the last scan by the address of their struct path."""
        view, found = self.paths.view, {}
        end, at = unpack_from("=Q", view)[0], _TEXTS
        while at < end:
            path, length = unpack_from("=Qq", view, at)
            if length > 0:
                found[path] = view[at + 16 : at + 15 + length]
            at += 16 + (max(length, 0) + 7 & ~7)
        return found

    def _load(self, capacity: int) -> None:
        self.capacity = capacity
        self.sink = calls.Memory(HEADER + capacity * self.plan.size)
        self.paths = calls.Memory(self.path_bytes)
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
            code.store(8, R7, 0, R1)
            code.store(8, R7, 8, R8)
        self.plan.emit(code, R7)
        for steps in self.kind.paths:
            self._path(code, steps)
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
        """The next record of the sink to R7; what does not fit is counted, so that the next run has room."""
        code.map_value(R2, self.sink.handle.fd)
        code.load(8, R1, R2)
        code.mov(R3, R1)
        code.add(R3, 1)
        code.store(8, R2, 0, R3)
        code.jump("out", bpf.JGE_K, R1, imm=self.capacity)
        code.op(bpf.MUL_K, R1, imm=self.plan.size)
        code.map_value(R7, self.sink.handle.fd, HEADER)
        code.op(bpf.ADD_X, R7, R1)

    def _path(self, code: Code, steps: Steps) -> None:
        """Writes the text of a path unless it is among those written last.

        The pointer must be typed for d_path, and a typed pointer is no number to the verifier: it is stored and read
        back to be compared.
        """
        end = f"path {steps}"
        code.mov(R7, R6 if self.kind.name == "task" else R8)
        for step in steps[:-1]:
            code.load(8, R7, R7, self.layout.places[step].offset)
            code.jump(end, bpf.JEQ_K, R7)
        code.add(R7, self.layout.places[steps[-1]].offset)
        code.map_value(R2, self.paths.handle.fd)
        code.store(8, R2, 8, R7)
        code.load(8, R9, R2, 8)
        code.mov(R1, R9)
        code.op(bpf.RSH_K, R1, imm=3)
        code.op(bpf.MUL_K, R1, imm=0x9E3779B1 - (1 << 32))
        code.op(bpf.RSH_K, R1, imm=16)
        code.op(bpf.AND_K, R1, imm=_CACHE - 1)
        code.op(bpf.LSH_K, R1, imm=3)
        code.map_value(R2, self.paths.handle.fd, HEADER)
        code.op(bpf.ADD_X, R2, R1)
        code.load(8, R3, R2)
        code.jump(end, bpf.JEQ_X, R3, R9)
        code.store(8, R2, 0, R9)
        self._text(code, end)
        code.label(end)

    def _text(self, code: Code, end: str) -> None:
        """Appends address (R9), length and text of the struct path that R7 points to."""
        code.map_value(R2, self.paths.handle.fd)
        code.load(8, R3, R2)
        code.jump(f"full {end}", bpf.JGT_K, R3, imm=self.path_bytes - PATH_MAX - 16)
        code.op(bpf.ADD_X, R2, R3)
        code.store(8, R2, 0, R9)
        code.store(8, R10, -8, R2)
        code.store(8, R10, -16, R3)
        code.add(R2, 16)
        code.mov(R1, R7)
        code.set(R3, PATH_MAX)
        code.call(bpf.FUNC_D_PATH)
        code.load(8, R2, R10, -8)
        code.store(8, R2, 8, R0)
        code.jump(f"length {end}", bpf.JSGE_K, R0)
        code.set(R0, 0)
        code.label(f"length {end}")
        code.add(R0, 23)
        code.op(bpf.AND_K, R0, imm=-8)
        code.load(8, R3, R10, -16)
        code.op(bpf.ADD_X, R3, R0)
        code.jump(f"store {end}")
        code.label(f"full {end}")
        code.add(R3, PATH_MAX)
        code.label(f"store {end}")
        code.map_value(R2, self.paths.handle.fd)
        code.store(8, R2, 0, R3)
