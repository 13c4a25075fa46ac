"""An assembler for BPF: a list of instructions with labels, 8 bytes each.

opcode u8 | dst 4 bits, src 4 bits | offset s16 | immediate s32
"""

from __future__ import annotations

from struct import Struct

from ...abi import bpf

_INSN = Struct("<BBhi")

# registers: R0 result, R1-R5 arguments (lost in calls), R6-R9 kept, R10 frame pointer
R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)

STORE = {1: bpf.STX_B, 2: bpf.STX_H, 4: bpf.STX_W, 8: bpf.STX_DW}
LOAD = {1: bpf.LDX_B, 2: bpf.LDX_H, 4: bpf.LDX_W, 8: bpf.LDX_DW}


class Code:
    """A program being written; methods append one instruction each."""

    def __init__(self) -> None:
        self._words: list[tuple[int, int, int, int, int]] = []
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []
        self._functions: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._words)

    def op(self, opcode: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> None:
        """Any instruction."""
        self._words.append((opcode, dst, src, offset, imm))

    def mov(self, dst: int, src: int) -> None:
        """``dst = src`` (registers)."""
        self.op(bpf.MOV_X, dst, src)

    def set(self, dst: int, imm: int) -> None:
        """``dst = imm``, sign-extended from 32 bits."""
        self.op(bpf.MOV_K, dst, imm=imm)

    def add(self, dst: int, imm: int) -> None:
        """``dst += imm``; nothing for zero."""
        if imm:
            self.op(bpf.ADD_K, dst, imm=imm)

    def load(self, size: int, dst: int, src: int, offset: int = 0) -> None:
        """``dst = *(uSIZE *)(src + offset)``, zero-extended."""
        self.op(LOAD[size], dst, src, offset)

    def store(self, size: int, dst: int, offset: int, src: int) -> None:
        """``*(uSIZE *)(dst + offset) = src``."""
        self.op(STORE[size], dst, src, offset)

    def map_fd(self, dst: int, fd: int) -> None:
        """``dst`` = the map, as helpers take it."""
        self.op(bpf.LD_IMM64, dst, bpf.PSEUDO_MAP_FD, 0, fd)
        self.op(0)

    def map_value(self, dst: int, fd: int, offset: int = 0) -> None:
        """``dst`` = the address of byte ``offset`` of the single value of an array map."""
        self.op(bpf.LD_IMM64, dst, bpf.PSEUDO_MAP_VALUE, 0, fd)
        self.op(0, imm=offset)

    def function(self, dst: int, label: str) -> None:
        """``dst`` = the function at ``label`` of the same program, as a callback."""
        self._functions.append((len(self._words), label))
        self.op(bpf.LD_IMM64, dst, bpf.PSEUDO_FUNC)
        self.op(0)

    def call(self, helper: int) -> None:
        """Calls a helper; R1-R5 are lost."""
        self.op(bpf.CALL, imm=helper)

    def kernel_call(self, function: int) -> None:
        """Calls a function of the kernel by its BTF id; R1-R5 are lost."""
        self.op(bpf.CALL, src=bpf.PSEUDO_KFUNC_CALL, imm=function)

    def jump(self, label: str, opcode: int = bpf.JA, dst: int = 0, src: int = 0, imm: int = 0) -> None:
        """A jump to a label that may be defined later."""
        self._jumps.append((len(self._words), label))
        self.op(opcode, dst, src, 0, imm)

    def label(self, name: str) -> None:
        """The next instruction is ``name``."""
        self._labels[name] = len(self._words)

    def offset(self, label: str) -> int:
        """Where a label is, in instructions."""
        return self._labels[label]

    def leave(self, value: int = 0) -> None:
        """``return value``."""
        self.set(R0, value)
        self.op(bpf.EXIT)

    def assemble(self) -> bytes:
        """The instructions, with jumps resolved."""
        words = list(self._words)
        for at, label in self._jumps:
            opcode, dst, src, _, imm = words[at]
            words[at] = (opcode, dst, src, self._labels[label] - at - 1, imm)
        for at, label in self._functions:
            opcode, dst, src, offset, _ = words[at]
            words[at] = (opcode, dst, src, offset, self._labels[label] - at - 1)
        pack = _INSN.pack
        return b"".join([pack(opcode, dst | src << 4, offset, imm) for opcode, dst, src, offset, imm in words])
