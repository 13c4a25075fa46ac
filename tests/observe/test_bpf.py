"""The parts below the BPF source: assembler, layout, plan, kernel memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import pytest

from replant.abi import bpf as abi
from replant.observe.bpf import asm, cache, calls
from replant.observe.bpf.iterate import ENTRY, PID_LIMIT, TASK, VMA, Filter, Iterator
from replant.observe.bpf.kernel import CAST, Layout, declared
from replant.observe.bpf.memory import MAX_READ, KernelMemory
from replant.observe.bpf.plan import Plan
from replant.observe.crosscheck import compared
from replant.observe.facts import File, Task, Vma
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
    plan.emit(code)
    assert sum(1 for at in range(0, len(code.assemble()), 8) if code.assemble()[at] == abi.CALL) <= 3


def test_a_kernel_that_shows_no_memory_is_read_by_its_helper(stopped_zoo: list[int], bpf: Observer) -> None:
    older = Observer("bpf")
    assert older._bpf
    older._bpf.layout.ids[CAST] = 0
    for facts in (Task, Vma, File):
        names = compared(facts)
        rows = [observer.look(facts, names, pids=stopped_zoo).records for observer in (older, bpf)]
        assert rows[0] == rows[1] and len(rows[0]) >= len(stopped_zoo)
    for iterator in older._bpf._iterators.values():
        assert not iterator.plan.cast


def test_operators_of_common_words(layout: Layout) -> None:
    words = {
        "if": "vma->vm_start if vma->vm_file",
        "unless": "vma->vm_start unless vma->vm_file",
        "some": "some vma->vm_file",
        "below": "vma->vm_start < vma->vm_end",
        "above": "vma->vm_end < vma->vm_start",
        "not above": "vma->vm_end <= vma->vm_end",
        "bit": "vma->vm_flags bit vma->vm_pgoff",
    }
    raw = ("start", "file", "flags", "pgoff")
    chains = {name: f"vma->vm_{name}" for name in raw}
    iterator = Iterator(VMA, chains, layout, Filter(), common=words)
    records = iterator.scan(4096, pid=os.getpid())
    entries = iterator.entries()
    assert entries and entries.number <= records.number
    for entry, start, file, flags, pgoff in zip(
        records.column(ENTRY), *[records.column(name) for name in raw], strict=True
    ):
        got = [entries.column(name)[entry] for name in words]
        assert got == [start if file else 0, 0 if file else start, bool(file), 1, 0, 1, flags >> (pgoff & 63) & 1]


def test_entries_that_are_met_again_are_written_once(layout: Layout) -> None:
    iterator = Iterator(TASK, {"pid": "task->pid"}, layout, Filter(), common={"level": "task->thread_pid->level"})
    records = iterator.scan(4096)
    entries = iterator.entries()
    assert entries and records.number > entries.number == len(set(entries.column("level")))


def test_more_entries_than_there_is_room_for(layout: Layout) -> None:
    iterator = Iterator(VMA, {"start": "vma->vm_start"}, layout, Filter(), common={"same": "vma->vm_start"})
    code = "import mmap, sys; keep = [mmap.mmap(-1, 4096, prot=1 + i % 2 * 2) for i in range(600)]; print(); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        assert child.stdout and child.stdout.readline()
        records = iterator.scan(1, pid=child.pid)
        entries = iterator.entries()
        child.kill()
    assert entries and entries.number == records.number > 600
    same = entries.column("same")
    assert [same[entry] for entry in records.column(ENTRY)] == records.column("start")


def test_a_sink_that_is_too_small_grows(layout: Layout) -> None:
    iterator = Iterator(VMA, {"start": "vma->vm_start"}, layout, Filter())
    records = iterator.scan(1, pid=os.getpid())
    starts = records.column("start")
    assert len(starts) > 10 and list(starts) == sorted(starts) and iterator.capacity >= len(starts)


def test_the_filter_takes_the_chosen_only(layout: Layout) -> None:
    chosen = Filter()
    iterator = Iterator(TASK, {"tgid": "task->tgid"}, layout, chosen)
    everybody = set(iterator.scan(4096).column("tgid"))
    some = sorted(everybody)[:3]
    chosen.choose(some)
    assert set(iterator.scan(4096).column("tgid")) == set(some)
    chosen.choose([PID_LIMIT - 1])
    assert not iterator.scan(4096).number
    chosen.choose(None)
    assert iterator.scan(4096).number >= len(everybody) - 50


def test_kernel_memory(layout: Layout) -> None:
    iterator = Iterator(TASK, {"pid": "task->pid"}, layout, Filter())
    records = iterator.scan(4096)
    tasks, pids = records.column("address"), records.column("pid")
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
