"""The parts below the BPF source: assembler, layout, plan, kernel memory."""

from __future__ import annotations

import os
import struct

import pytest

from replant.abi import bpf as abi
from replant.observe.bpf import asm, cache, calls
from replant.observe.bpf.iterate import PID_LIMIT, TASK, VMA, Filter, Iterator
from replant.observe.bpf.kernel import Layout, declared
from replant.observe.bpf.memory import MAX_READ, KernelMemory
from replant.observe.bpf.plan import Plan
from replant.observe.observer import Observer


@pytest.fixture(scope="module")
def layout(bpf: Observer) -> Layout:
    return cache.layout()


def run(code: asm.Code) -> int:
    return calls.prog_run(calls.prog_load(code.assemble(), abi.PROG_TYPE_SYSCALL, flags=abi.F_SLEEPABLE))


def test_assembled_programs_calculate(bpf: Observer) -> None:
    code = asm.Code()
    code.set(asm.R1, 40)
    code.jump("more", abi.JEQ_K, asm.R1, imm=40)
    code.leave(7)
    code.label("more")
    code.add(asm.R1, 2)
    code.mov(asm.R0, asm.R1)
    code.op(abi.EXIT)
    assert run(code) == 42


def test_declarations_are_known_to_the_kernel(layout: Layout) -> None:
    asked = {(structure, member) for structure, members in declared().items() for member in members}
    absent = asked - layout.places.keys()
    # what this kernel has not: one of the two shapes of rseq and of mm flags, and what it was built without
    assert len(absent) < 12 and ("task_struct", "pid") not in absent
    assert layout.places["task_struct", "comm"].size == 16
    assert layout.sizes["upid"] == 16 and layout.places["sighand_struct", "action"].size == 64 * 32


def test_a_plan_copies_neighbours_together(layout: Layout) -> None:
    plan = Plan(layout, {"task": ("task_struct", asm.R6)}, 0, {})
    assert plan.add("pid", "task->pid") and plan.add("tgid", "task->tgid")
    assert plan.add("uid", "task->cred->uid")
    assert (
        not plan.add("nothing", "task->no_such_member") if ("task_struct", "no_such_member") in layout.places else True
    )
    plan.place()
    assert len(plan.nodes[0].ranges) <= 2 and len(plan.nodes) == 2
    code = asm.Code()
    plan.emit(code, asm.R7)
    assert sum(1 for at in range(0, len(code.assemble()), 8) if code.assemble()[at] == abi.CALL) <= 3


def test_a_sink_that_is_too_small_grows(layout: Layout) -> None:
    iterator = Iterator(VMA, {"start": "vma->vm_start"}, layout, Filter())
    records = iterator.scan(1, pid=os.getpid())
    starts = iterator.plan.column("start", records)
    assert len(starts) > 10 and list(starts) == sorted(starts) and iterator.capacity >= len(starts)


def test_the_filter_takes_the_chosen_only(layout: Layout) -> None:
    chosen = Filter()
    iterator = Iterator(TASK, {"tgid": "task->tgid"}, layout, chosen)
    everybody = set(iterator.plan.column("tgid", iterator.scan(4096)))
    some = sorted(everybody)[:3]
    chosen.choose(some)
    assert set(iterator.plan.column("tgid", iterator.scan(4096))) == set(some)
    chosen.choose([PID_LIMIT - 1])
    assert not iterator.scan(4096).number
    chosen.choose(None)
    assert iterator.scan(4096).number >= len(everybody) - 50


def test_kernel_memory(layout: Layout) -> None:
    iterator = Iterator(TASK, {"pid": "task->pid"}, layout, Filter())
    records = iterator.scan(4096)
    tasks, pids = iterator.plan.column("address", records), iterator.plan.column("pid", records)
    memory = KernelMemory()
    at = layout.places["task_struct", "pid"].offset
    requests = [(task + at, 4) for task in tasks] * 60
    read = [struct.unpack("=i", raw)[0] for raw in memory.read(requests)]
    assert len(requests) > 4096
    # processes may have ended since; this one has not
    assert read.count(os.getpid()) >= 60 and set(read) <= {*pids, *range(1 << 22), 0}
    assert memory.read([(0, 8), (0xFFFF_0000_0000_0000, MAX_READ)]) == [bytes(8), bytes(MAX_READ)]


def test_handles_are_closed(bpf: Observer) -> None:
    before = len(os.listdir("/proc/self/fd"))
    observer = Observer("bpf")
    observer.tasks(pids=[os.getpid()])
    observer.vmas(pids=[os.getpid()])
    assert len(os.listdir("/proc/self/fd")) > before
    del observer
    assert len(os.listdir("/proc/self/fd")) == before
