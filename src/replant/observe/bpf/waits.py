"""When the calls were to end that a stop has interrupted, and that the kernel has forgotten: epoll_wait(2) and others.

Such a call sleeps with a timer on its stack, and is woken by the stop: it cancels the timer and fails with EINTR. Just
then a program of ours looks on (the tracepoints ``hrtimer_cancel``, and for sockets ``timer_cancel``): whoever cancels
a timer that was to wake it, and is to stop for its tracer as soon as it leaves the kernel, has been interrupted in the
call that it will be found in.

    0 number of records u64 | 64 the records: thread u64, end u64 (ns, CLOCK_MONOTONIC of the kernel)
"""

from __future__ import annotations

import time
from struct import iter_unpack, unpack_from

from ...abi import bpf
from . import calls
from .asm import R0, R1, R2, R3, R6, R7, R8, R9, R10, Code
from .restarts import ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .source import BpfSource

    Emit = Callable[[Code, BpfSource], None]

_HEADER, _RECORD, _RECORDS = 64, 16, 1 << 16
_JOBCTL_TRAP_STOP = 1 << 19  # linux/sched/jobctl.h: PTRACE_INTERRUPT has been asked for
_MONOTONIC_COARSE = 6
_STACK = 1 << 15  # bytes that kernel stacks have at most


class Watch:
    """Looks on from its making until `close`, at all tasks that are being stopped by a tracer."""

    def __init__(self, source: BpfSource) -> None:
        """:raises OSError: the kernel has no such tracepoint, or lets nobody look."""
        self._sink = calls.Memory(_HEADER + _RECORD * _RECORDS)
        self._links = [self._look(source, *timer) for timer in _TIMERS.items()]

    def _look(self, source: BpfSource, tracepoint: str, timer: tuple[str, Emit]) -> calls.Handle:
        code = _code(source, self._sink, *timer)
        return calls.link_tracepoint(calls.prog_load(code.assemble(), bpf.PROG_TYPE_RAW_TRACEPOINT), tracepoint)

    def ends(self) -> dict[int, int]:
        """When calls were to end that have been interrupted since this was asked last, by thread.

        Threads are numbered as in our pid namespace, CLOCK_MONOTONIC in ns is that of our time namespace.
        """
        number = unpack_from("=Q", self._sink.view)[0]
        self._sink.view[:8] = bytes(8)
        if number > _RECORDS:
            return {}  # the last ones, which count, are missing
        offset = ahead(1)
        records = iter_unpack("=QQ", self._sink.view[_HEADER : _HEADER + _RECORD * number])
        return {tid: end + offset for tid, end in records}

    def close(self) -> None:
        """Look away."""
        self._links.clear()


def _code(source: BpfSource, sink: calls.Memory, sleeper: str, end: Emit) -> Code:
    """R6: the timer, which a structure ``sleeper`` has in it, R7: the task that cancels it, R8: its record."""
    at, code = source.layout.places, Code()
    code.load(8, R6, R1)
    code.call(bpf.FUNC_GET_CURRENT_TASK)
    code.mov(R7, R0)
    _read(code, R7, at["task_struct", "jobctl"].offset)
    code.op(bpf.AND_K, R1, imm=_JOBCTL_TRAP_STOP)
    code.jump("out", bpf.JEQ_K, R1)
    _read(code, R7, at["task_struct", "stack"].offset)
    code.mov(R2, R6)
    code.op(bpf.SUB_X, R2, R1)
    code.jump("out", bpf.JGE_K, R2, imm=_STACK)
    _read(code, R6, at[sleeper, "task"].offset)
    code.jump("out", bpf.JNE_X, R1, R7)
    _take(code, sink)
    _read(code, R7, at["task_struct", "thread_pid"].offset)
    code.mov(R7, R1)
    number = at["pid", "numbers"].offset + source.level * source.layout.sizes["upid"] + at["upid", "nr"].offset
    _read(code, R7, number, size=4)
    code.store(8, R8, 0, R1)
    end(code, source)
    code.store(8, R8, 8, R1)
    code.label("out")
    code.leave()
    return code


def _end(code: Code, source: BpfSource) -> None:
    """R1: when a struct hrtimer was to expire; no call that the kernel forgets has one of another clock."""
    _read(code, R6, source.layout.places["hrtimer", "_softexpires"].offset)


def _end_in_ticks(code: Code, source: BpfSource) -> None:
    """R1: the same of a struct timer_list, which counts jiffies; coarse clocks advance with them (clock_getres(2))."""
    code.call(bpf.FUNC_JIFFIES64)
    code.mov(R9, R0)
    _read(code, R6, source.layout.places["timer_list", "expires"].offset)
    code.op(bpf.SUB_X, R1, R9)
    code.op(bpf.MUL_K, R1, imm=round(time.clock_getres(_MONOTONIC_COARSE) * 1e9))
    code.mov(R9, R1)
    code.call(bpf.FUNC_KTIME_GET_NS)
    code.mov(R1, R0)
    code.op(bpf.ADD_X, R1, R9)


#: by tracepoint: the structure of a timer that wakes a task, and how its end is found
_TIMERS = {"hrtimer_cancel": ("hrtimer_sleeper", _end), "timer_cancel": ("process_timer", _end_in_ticks)}


def _read(code: Code, base: int, offset: int, size: int = 8) -> None:
    """``R1 = *(uSIZE *)(base + offset)``, of the kernel's memory."""
    code.op(bpf.ST_DW, R10, offset=-8)
    code.mov(R1, R10)
    code.add(R1, -8)
    code.set(R2, size)
    code.mov(R3, base)
    code.add(R3, offset)
    code.call(bpf.FUNC_PROBE_READ_KERNEL)
    code.load(8, R1, R10, -8)


def _take(code: Code, sink: calls.Memory) -> None:
    code.map_value(R2, sink.handle.fd)
    code.set(R1, 1)
    code.op(bpf.ATOMIC_DW, R2, R1, 0, bpf.ATOMIC_FETCH_ADD)
    code.jump("out", bpf.JGE_K, R1, imm=_RECORDS)
    code.op(bpf.MUL_K, R1, imm=_RECORD)
    code.map_value(R8, sink.handle.fd, _HEADER)
    code.op(bpf.ADD_X, R8, R1)
