"""Texts of paths, written beside the records: each pair of mount and dentry once, as far as a cache remembers.

Processes open the same files again and again, each with a struct file of its own, so the pair is what is compared. The
area, which is the one value of a map of its own:

    0  end of the entries u64
    8  scratch: address of a struct path u64, then a copy of it
    64 cache of the pairs written last, 1024 x 16 bytes
       entries: struct path (16 bytes), length s64, text and padding to 8 bytes
"""

from __future__ import annotations

from struct import pack, unpack_from

from ...abi import bpf
from . import calls
from .asm import R0, R1, R2, R3, R4, R5, R7, R9, R10, Code
from .kernel import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    Steps = tuple[tuple[str, str], ...]
    Pair = tuple[int, int]

PATH_MAX = 4096
_ADDRESS, _COPY = 8, 16
_CACHE_AT, _CACHE = 64, 1024
_FIRST = _CACHE_AT + _CACHE * 16
_HEAD = 24

# how to come from an iterator's object to a struct path: pointers to follow, then the member that is one
EXE: Steps = (("task_struct", "mm"), ("mm_struct", "exe_file"), ("file", "f_path"))
CWD: Steps = (("task_struct", "fs"), ("fs_struct", "pwd"))
ROOT: Steps = (("task_struct", "fs"), ("fs_struct", "root"))
MAPPED: Steps = (("vm_area_struct", "vm_file"), ("file", "f_path"))
OPENED: Steps = (("file", "f_path"),)


class Paths:
    """The area of one iterator."""

    def __init__(self, layout: Layout, size: int) -> None:
        self.layout = layout
        self.size = _FIRST + PATH_MAX + size
        self.memory = calls.Memory(self.size)
        self._mnt = layout.places["path", "mnt"].offset

    def clear(self) -> None:
        """Before a scan: no entries, nothing remembered."""
        self.memory.view[:_FIRST] = pack("=Q", _FIRST) + bytes(_FIRST - 8)

    def missing(self) -> int:
        """Bytes that the last scan would have needed in addition; 0 when all was written."""
        end: int = unpack_from("=Q", self.memory.view)[0]
        return max(0, end - (self.size - PATH_MAX))

    def texts(self) -> dict[Pair, str]:
        """The texts of the last scan by (mount, dentry)."""
        view, at = self.memory.view, _FIRST
        end = unpack_from("=Q", view)[0]
        found = {}
        while at < end:
            first, second, length = unpack_from("=QQq", view, at)
            if length > 0:
                text = view[at + _HEAD : at + _HEAD - 1 + length].decode("utf-8", "surrogateescape")
                found[(second, first) if self._mnt else (first, second)] = text
            at += _HEAD + (max(length, 0) + 7 & ~7)
        return found

    def emit(self, code: Code, start: int, steps: Steps) -> None:
        """Writes the text of the path that ``steps`` lead to from the object in register ``start``; R6 and R8 are kept.

        d_path takes a typed pointer only, and a typed pointer is no number to the verifier: the members are copied
        before they are compared.
        """
        end = f"path {steps}"
        code.mov(R7, start)
        for step in steps[:-1]:
            code.load(8, R7, R7, self.layout.places[step].offset)
            code.jump(end, bpf.JEQ_K, R7)
        code.add(R7, self.layout.places[steps[-1]].offset)
        self._copy(code)
        self._remembered(code, end)
        self._append(code, end)
        code.label(end)

    def _copy(self, code: Code) -> None:
        """The two words of the struct path at R7 to R1 and R9."""
        code.map_value(R1, self.memory.handle.fd)
        code.store(8, R1, _ADDRESS, R7)
        code.load(8, R3, R1, _ADDRESS)
        code.add(R1, _COPY)
        code.set(R2, 16)
        code.call(bpf.FUNC_PROBE_READ_KERNEL)
        code.map_value(R2, self.memory.handle.fd)
        code.load(8, R1, R2, _COPY)
        code.load(8, R9, R2, _COPY + 8)

    def _remembered(self, code: Code, end: str) -> None:
        """Leaves for ``end`` when the pair in R1 and R9 is in its place of the cache, else puts it there."""
        code.mov(R3, R1)
        code.op(bpf.XOR_X, R3, R9)
        code.op(bpf.RSH_K, R3, imm=5)
        code.op(bpf.MUL_K, R3, imm=0x61C88647)
        code.op(bpf.RSH_K, R3, imm=16)
        code.op(bpf.AND_K, R3, imm=_CACHE - 1)
        code.op(bpf.LSH_K, R3, imm=4)
        code.map_value(R4, self.memory.handle.fd, _CACHE_AT)
        code.op(bpf.ADD_X, R4, R3)
        code.load(8, R5, R4)
        code.jump(f"new {end}", bpf.JNE_X, R5, R1)
        code.load(8, R5, R4, 8)
        code.jump(end, bpf.JEQ_X, R5, R9)
        code.label(f"new {end}")
        code.store(8, R4, 0, R1)
        code.store(8, R4, 8, R9)

    def _append(self, code: Code, end: str) -> None:
        """Writes an entry, or, where there is no room, only moves the end on."""
        code.map_value(R2, self.memory.handle.fd)
        code.load(8, R3, R2)
        code.jump(f"full {end}", bpf.JGT_K, R3, imm=self.size - PATH_MAX - _HEAD)
        code.op(bpf.ADD_X, R2, R3)
        code.store(8, R2, 0, R1)
        code.store(8, R2, 8, R9)
        code.store(8, R10, -8, R2)
        code.store(8, R10, -16, R3)
        code.mov(R1, R7)
        code.add(R2, _HEAD)
        code.set(R3, PATH_MAX)
        code.call(bpf.FUNC_D_PATH)
        code.load(8, R2, R10, -8)
        code.store(8, R2, 16, R0)
        code.jump(f"length {end}", bpf.JSGE_K, R0)
        code.set(R0, 0)
        code.label(f"length {end}")
        code.add(R0, _HEAD + 7)
        code.op(bpf.AND_K, R0, imm=-8)
        code.load(8, R3, R10, -16)
        code.op(bpf.ADD_X, R3, R0)
        code.jump(f"store {end}")
        code.label(f"full {end}")
        code.add(R3, PATH_MAX)
        code.label(f"store {end}")
        code.map_value(R2, self.memory.handle.fd)
        code.store(8, R2, 0, R3)
