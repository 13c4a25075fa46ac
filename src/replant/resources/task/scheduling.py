"""How a thread is scheduled: policy and its parameters (sched(7)), nice, affinity, IO priority, utilisation clamps.

A deadline policy is kept; where admission control has no room for it the restore says so. Reset-on-fork and deadline
change what a clone gets, or forbid it (EAGAIN), so they come after all clones.
"""

from __future__ import annotations

import os

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.libc import syscall
from replant.abi.sched import (
    IOPRIO_WHO_PROCESS,
    PRIO_PROCESS,
    SCHED_ATTR,
    SCHED_BATCH,
    SCHED_FLAG_UTIL_CLAMP_MAX,
    SCHED_FLAG_UTIL_CLAMP_MIN,
    SCHED_OTHER,
    UTIL_MAX,
)
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES = ("privilege",)
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_CLAMPS = SCHED_FLAG_UTIL_CLAMP_MIN | SCHED_FLAG_UTIL_CLAMP_MAX
_FREE = ((0, 0), (0, UTIL_MAX))  # a kernel without clamps, no clamps
_EVERY_CPU = b"\xff" * 1024  # CONFIG_NR_CPUS is at most 8192


class State(Frozen):
    """``runtime``, ``deadline``, ``period`` in ns; with a fair policy ``runtime`` is the slice, 0 for the default.

    ``cpus`` is a mask, CPU 0 in the lowest bit of the first byte; empty: every CPU, also on a host with more of them.
    """

    policy: int
    flags: int
    nice: int
    priority: int
    runtime: int
    deadline: int
    period: int
    util_min: int
    util_max: int
    cpus: bytes
    ioprio: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has that of its cloner. All of it can be asked from outside."""
    attr = bytearray(SCHED_ATTR.size)
    syscall(nr.sched_getattr, t.tid, attr, SCHED_ATTR.size, 0)
    values = SCHED_ATTR.unpack(attr)
    _, policy, flags, _, priority, runtime, deadline, period, util_min, util_max = values
    default_slice, online = _host()
    if policy in (SCHED_OTHER, SCHED_BATCH) and runtime == default_slice:
        runtime = 0
    allowed = t.status.cpus_allowed
    cpus = b"" if allowed & online == online else allowed.to_bytes((allowed.bit_length() + 7) // 8, "little")
    return State(
        policy,
        flags & ~_CLAMPS,
        os.getpriority(PRIO_PROCESS, t.tid),
        priority,
        runtime,
        deadline,
        period,
        util_min,
        util_max,
        cpus,
        syscall(nr.ioprio_get, IOPRIO_WHO_PROCESS, t.tid),
    )


_memo: list[tuple[int, int]] = []


def _own_ioprio() -> int:
    """What a clone has already."""
    if not _priority:
        _priority.append(syscall(nr.ioprio_get, IOPRIO_WHO_PROCESS, 0))
    return _priority[0]


_priority: list[int] = []


def _host() -> tuple[int, int]:
    """The slice of a thread that asked for none (ns), and the mask of CPUs that are online."""
    if not _memo:
        attr = bytearray(SCHED_ATTR.size)
        syscall(nr.sched_getattr, 0, attr, SCHED_ATTR.size, 0)
        fd = os.open("/sys/devices/system/cpu/online", os.O_RDONLY | os.O_CLOEXEC)
        try:
            ranges = [part.partition(b"-") for part in os.read(fd, 4096).strip().split(b",")]
        finally:
            os.close(fd)
        online = sum((2 << int(last or first)) - (1 << int(first)) for first, _, last in ranges)
        _memo.append((SCHED_ATTR.unpack(attr)[5], online))
    return _memo[0]


_programs: dict[State, list[Call]] = {}


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set all; threads that are scheduled alike share the calls."""
    calls = _programs.get(state)
    if calls is None:
        calls = _programs[state] = _program(state)
    on.calls += calls


def _program(state: State) -> list[Call]:
    """The policy comes last, as a deadline thread may not change its affinity.

    The nice value has a call of its own, as a thread has one also while its policy does not use it. An IO priority that
    is set, be it to none, gives a thread an IO context, which most have not.
    """
    cpus = state.cpus or _EVERY_CPU
    priority = Call(nr.ioprio_set, IOPRIO_WHO_PROCESS, 0, state.ioprio, why="IO priority")
    return [
        Call(nr.sched_setaffinity, 0, len(cpus), cpus, why="CPU affinity"),
        *([priority] if (state.ioprio, _own_ioprio()) != (0, 0) else []),
        Call(nr.setpriority, PRIO_PROCESS, 0, state.nice, why="nice"),
        Call(nr.sched_setattr, 0, _attr(state), 0, why="scheduling policy"),
    ]


def _attr(s: State) -> bytes:
    clamped = (s.util_min, s.util_max) not in _FREE
    flags = s.flags | (_CLAMPS if clamped else 0)
    rest = (s.nice, s.priority, s.runtime, s.deadline, s.period, s.util_min, s.util_max)
    return SCHED_ATTR.pack(SCHED_ATTR.size, s.policy, flags, *rest)
