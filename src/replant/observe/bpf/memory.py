"""Reading kernel memory at addresses that earlier records told: names, queues, sets.

A SYSCALL program walks an array of requests and answers each in place; 30 ns a read, one system call for all of them.

    0 requests u64 | 8 position u64 | 64 requests, 64 bytes each: address u64, length u64 (up to 48), data
"""

from __future__ import annotations

from struct import pack_into

from ...abi import bpf, btf
from . import calls
from .asm import R1, R2, R3, R4, R6, Code
from .types import Types

MAX_READ = 48
_SLOT = 64
_HEADER = 64
_SLOTS = 4096


class KernelMemory:
    """A loaded reader; addresses come from BPF records only and never leave the package."""

    def __init__(self) -> None:
        self.memory = calls.Memory(_HEADER + _SLOTS * _SLOT)
        code, types = self._code(), Types()
        self.program = calls.prog_load(
            code.assemble(),
            bpf.PROG_TYPE_SYSCALL,
            flags=bpf.F_SLEEPABLE,
            # a callback must be a function, and what a function is only BTF tells
            functions=types.function(0, "main", btf.FUNC_GLOBAL)
            + types.function(code.offset("answer"), "answer", btf.FUNC_STATIC),
            btf=calls.btf_load(types.blob()),
        )

    def read(self, requests: list[tuple[int, int]]) -> list[bytes]:
        """The bytes at each (address, length up to 48); zeros where nothing can be read."""
        found: list[bytes] = []
        for first in range(0, len(requests), _SLOTS):
            found += self._read(requests[first : first + _SLOTS])
        return found

    def _read(self, requests: list[tuple[int, int]]) -> list[bytes]:
        view = self.memory.view
        pack_into("=QQ", view, 0, len(requests), 0)
        for i, (address, length) in enumerate(requests):
            pack_into("=QQ", view, _HEADER + i * _SLOT, address, min(length, MAX_READ))
        calls.prog_run(self.program)
        starts = [_HEADER + i * _SLOT + 16 for i in range(len(requests))]
        return [view[at : at + length] for at, (_, length) in zip(starts, requests, strict=True)]

    def _code(self) -> Code:
        # bpf_loop keeps the verifier's work independent of the number of rounds; the callback is a function of its own
        code = Code()
        code.map_value(R1, self.memory.handle.fd)
        code.load(8, R1, R1)
        code.function(R2, "answer")
        code.set(R3, 0)
        code.set(R4, 0)
        code.call(bpf.FUNC_LOOP)
        code.leave()
        code.label("answer")
        code.jump("done", bpf.JGE_K, R1, imm=_SLOTS)
        code.op(bpf.MUL_K, R1, imm=_SLOT)
        code.map_value(R6, self.memory.handle.fd, _HEADER)
        code.op(bpf.ADD_X, R6, R1)
        code.load(8, R2, R6, 8)
        code.jump("done", bpf.JGT_K, R2, imm=MAX_READ)
        code.load(8, R3, R6)
        code.mov(R1, R6)
        code.add(R1, 16)
        code.call(bpf.FUNC_PROBE_READ_KERNEL)
        code.label("done")
        code.leave()
        return code


__all__ = ["MAX_READ", "KernelMemory"]
