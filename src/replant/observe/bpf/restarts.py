"""When an interrupted sleep is to end: ``struct restart_block`` of linux/restart_block.h, which no interface tells.

A call that sleeps for a time, and is stopped, leaves there how it would go on: a function of the kernel, and the end of
its time as a clock has it. In that function is also which call it was, once it has been restarted.
"""

from __future__ import annotations

import time

from ...abi import bpf, btf
from ..record import Record
from . import calls
from .asm import R1, R2, R3, R4, Code
from .iterate import TASK, Iterator
from .source import BpfSource
from .types import Types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SLEEP, POLL, FUTEX = "hrtimer_nanosleep_restart", "do_restart_poll", "futex_wait_restart"
_TIMES = {SLEEP: "nanosleep.expires", FUTEX: "futex.time"}
_CLOCKS = {0: time.CLOCK_REALTIME, 1: time.CLOCK_MONOTONIC, 7: time.CLOCK_BOOTTIME, 11: time.CLOCK_TAI}
_OFFSETS = {"monotonic": 1, "boottime": 7}
_HALF = 32  # of a restart_block, and what can be read at a time
_SECOND = 1_000_000_000


class Restart(Record):
    """How a call goes on: the function of the kernel, and the nanoseconds that are ``left`` (-1: it has no end)."""

    function: str
    left: int


def restarts(source: BpfSource, pids: Mapping[int, int]) -> dict[int, Restart]:
    """By thread, of processes given by their numbers here and in the initial pid namespace; known functions only."""
    functions = _functions()
    columns = {"tid": "0? task->pid | task->thread_pid->numbers[L].nr"}
    iterator = Iterator(TASK, columns, source.layout, source.chosen, source.level)
    source.chosen.choose(list(pids.values()))
    records = iterator.scan(4 * len(pids))
    tids, tasks = (records.column(name) for name in ("tid", "address"))
    at = source.layout.places["task_struct", "restart_block"].offset
    halves = source.context.memory.read([(task + at + half, _HALF) for task in tasks for half in (0, _HALF)])
    blocks = [first + second for first, second in zip(halves[::2], halves[1::2], strict=True)]
    found = {tid: _restart(source, block, functions) for tid, block in zip(tids, blocks, strict=True)}
    return {tid: restart for tid, restart in found.items() if restart}


def _restart(source: BpfSource, block: bytes, functions: Mapping[int, str]) -> Restart | None:
    def member(name: str) -> int:
        place = source.layout.places["restart_block", name]
        return int.from_bytes(block[place.offset : place.offset + place.size], "little")

    function = functions.get(member("fn"))
    if function is None:
        return None
    if function == POLL:
        if not member("poll.has_timeout"):
            return Restart(function, -1)
        return Restart(function, _left(1, member("poll.tv_sec") * _SECOND + member("poll.tv_nsec")))
    clock = member("nanosleep.clockid") if function == SLEEP else 1
    return Restart(function, _left(clock, member(_TIMES[function])) if clock in _CLOCKS else -1)


def _left(clock: int, end: int) -> int:
    """Nanoseconds until a clock of the kernel, which knows no time namespaces, is at ``end``."""
    return max(0, end - time.clock_gettime_ns(_CLOCKS[clock]) + ahead(clock))


def ahead(clock: int) -> int:
    """By how much our time namespace is ahead, time_namespaces(7)."""
    with open("/proc/self/timens_offsets", encoding="ascii") as file:
        for line in file:
            name, seconds, nanoseconds = line.split()
            if _OFFSETS.get(name) == clock:
                return int(seconds) * _SECOND + int(nanoseconds)
    return 0


def _functions() -> dict[int, str]:
    """The addresses of the functions, which the kernel tells a program that asks."""
    names = (SLEEP, POLL, FUTEX)
    memory = calls.Memory(4096)
    code, types = Code(), Types()
    for index, name in enumerate(names):
        text = name.encode() + b"\0"
        memory.view[1024 + 128 * index : 1024 + 128 * index + len(text)] = text
        code.map_value(R1, memory.handle.fd, 1024 + 128 * index)
        code.set(R2, len(text))
        code.set(R3, 0)
        code.map_value(R4, memory.handle.fd, 8 * index)
        code.call(bpf.FUNC_KALLSYMS_LOOKUP_NAME)
    code.leave()
    program = calls.prog_load(
        code.assemble(),
        bpf.PROG_TYPE_SYSCALL,
        flags=bpf.F_SLEEPABLE,
        functions=types.function(0, "main", btf.FUNC_GLOBAL),
        btf=calls.btf_load(types.blob()),
    )
    calls.prog_run(program)
    found = {int.from_bytes(memory.view[8 * i : 8 * i + 8], "little"): name for i, name in enumerate(names)}
    found.pop(0, None)
    return found
