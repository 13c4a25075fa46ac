"""rseq: address, length, signature; the kernel fills in the ids at once and clears a pointer left in the area."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest
from task_child import Child, facts, make

from replant.abi import x86_64 as nr
from replant.resources.task import rseq
from replant.resources.task.rseq import State
from replant.tracee import ptrace

UNREGISTER = 1
SIGNATURE = 0x53053053


def kernel_says(pid: int) -> tuple[int, int, int]:
    ptrace.seize(pid)
    ptrace.interrupt(pid)
    os.waitpid(pid, 0)
    found = ptrace.get_rseq(pid)
    ptrace.detach(pid)
    return found


@pytest.fixture
def child() -> Iterator[Child]:
    """A child without an area: what the C library has registered in it is taken off."""
    with Child() as it:
        address, length, signature = kernel_says(it.pid)
        if address:
            assert it.call(nr.rseq, address, length, UNREGISTER, signature).ret == 0
        yield it


def area(child: Child) -> int:
    at: int = child.call(nr.mmap, 0, 4096, 3, 0x22, -1, 0).ret
    return at


@pytest.mark.parametrize("length", [32, 64])
def test_round_trip(child: Child, length: int) -> None:
    state = State(area(child), length, SIGNATURE)
    make(rseq, state, child)
    found = kernel_says(child.pid)
    assert found == tuple(state)
    assert rseq.read(facts(child, rseq=found), ()) == state


def test_fresh_ids_and_no_section(child: Child) -> None:
    at = area(child)
    with open(f"/proc/{child.pid}/mem", "r+b", buffering=0) as memory:
        stale = struct.pack("<IIQIIII", 0xFFFF, 0xFFFF, 0, 0, 0xFFFF, 0xFFFF, 0)
        os.pwrite(memory.fileno(), stale, at)
        make(rseq, State(at, 32, SIGNATURE), child)
        start, cpu, section, _, _, _, _ = struct.unpack("<IIQIIII", os.pread(memory.fileno(), 32, at))
    assert start == cpu
    assert cpu < (os.cpu_count() or 1)
    assert section == 0


def test_none(child: Child) -> None:
    assert rseq.read(facts(child, rseq=kernel_says(child.pid)), ()) is None
