from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out, Track
from replant.tracee import blob
from replant.tracee.batch import Encoded, encode

from .assemble import LABELS, assemble

PUSH_ALL_AND_JUMP = bytes.fromhex("53 55 4154 4155 4156 4157 4889fb e9")  # rbx = rdi: the first record
POP_ALL_AND_RETURN = bytes.fromhex("415f 415e 415d 415c 5d 5b c3")


def test_the_bytes_are_those_of_the_source() -> None:
    code, offsets = assemble()
    assert code == blob.IMAGE
    for label in LABELS:
        assert getattr(blob, label.upper()) == offsets[label], label


class Bench:
    """Runs records in this very process: code, records and data in one mapping, a TRAP of a signal nobody minds."""

    CODE, ENTRY, LEAVE, RECORDS, DATA = 0x400, 0x000, 0x800, 0x1000, 0x8000

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 1 << 16, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.at = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        distance = self.CODE - (self.ENTRY + len(PUSH_ALL_AND_JUMP) + 4)
        self.put(self.ENTRY, PUSH_ALL_AND_JUMP + distance.to_bytes(4, "little"))
        self.put(self.CODE, blob.CODE)
        self.put(self.LEAVE, POP_ALL_AND_RETURN)

    def put(self, offset: int, code: bytes) -> None:
        self.memory[offset : offset + len(code)] = code

    def run(self, calls: list[Call], cleanup: Sequence[Call] = (), track: Track | None = None) -> Encoded:
        """The batch after its run, as read back."""
        program = [*calls, Call(blob.TRAP, signal.SIGURG), *cleanup, Call(blob.JUMP, self.at + self.LEAVE)]
        batch = encode(program, self.at + self.RECORDS, self.at + self.DATA, track)
        self.put(self.RECORDS, batch.records)
        self.put(self.DATA, batch.data)
        ctypes.CFUNCTYPE(None, ctypes.c_uint64)(self.at + self.ENTRY)(self.at + self.RECORDS)
        batch.records[:] = self.memory[self.RECORDS : self.RECORDS + len(batch.records)]
        batch.data[:] = self.memory[self.DATA : self.DATA + len(batch.data)]
        return batch

    def returns(self, *args, **more) -> list[int]:
        batch = self.run(*args, **more)
        return batch.returns(batch.records)


def test_results_slots_and_bytes() -> None:
    track = Track("self")
    read_end, write_end = os.pipe()
    copy = track.call(nr.dup, write_end)
    track.call(nr.write, copy, b"hello", 5)
    track.call(nr.read, read_end, Out(8), 8)
    track.call(nr.close, copy)
    batch = Bench().run(track.calls, track=track)
    assert batch.returns(batch.records)[1:4] == [5, 5, 0]
    assert batch.decode(batch.records, batch.data)[2].outs == (b"hello\0\0\0",)
    os.close(read_end)
    os.close(write_end)


def test_a_failure_skips_to_the_cleanup() -> None:
    calls = [Call(nr.close, -1, ok=(errno.EBADF,)), Call(nr.getpid), Call(nr.close, -1), Call(nr.getppid)]
    batch = Bench().run(calls, [Call(nr.getpgrp)])
    returns = batch.returns(batch.records)
    assert returns[:4] == [-errno.EBADF, os.getpid(), -errno.EBADF, blob.NOT_RUN]
    assert returns[5] == os.getpgrp()
    answers = batch.decode(batch.records, batch.data)
    assert len(answers) == 3
    assert batch.failure(batch.records) == 2


def test_six_arguments_arrive_in_order() -> None:
    bench = Bench()
    size = mmap.PAGESIZE
    area = bench.returns([Call(nr.mmap, 0, 2 * size, 3, 0x22, -1, 0)])[0]
    fd = os.memfd_create("six")
    os.write(fd, b"a" * size + b"b" * size)
    placed = bench.returns([Call(nr.mmap, area + size, size, 1, 0x11, fd, size)])[0]
    assert placed == area + size
    assert ctypes.string_at(placed, 2) == b"bb"
    os.close(fd)


def test_xrstor_loads_extended_state() -> None:
    """In a process of its own: it spoils vector registers."""
    paths = [os.path.dirname(os.path.dirname(__file__)), *sys.path]
    program = f"""
import ctypes, sys
sys.path[:0] = {paths!r}
from tracee.test_blob import Bench
from replant.abi.call import Call
from replant.tracee import blob
bench = Bench()
area = bytearray(576)
area[24:28] = (0x1F80).to_bytes(4, "little")
area[512] = 3
bench.put(0xF000, area)
print(bench.returns([Call(blob.XRSTOR, bench.at + 0xF000, 3)])[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0\n", done.stderr
