"""The 16 resource limits of a process, prlimit(2), also those below what is in use.

They are asked and set inside: of a task of another user the kernel tells them to CAP_SYS_RESOURCE only. The same
capability is needed to raise a hard limit above that of the restorer.
"""

from __future__ import annotations

from struct import unpack

from replant.abi import capability as cap
from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.libc import syscall
from replant.abi.resource import NAMES, RLIM_INFINITY, RLIMIT, RLIMIT_CPU
from replant.errors import Blocker, ImageError
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("privilege",)
SPOILS = ("room",)
SETS: tuple[str, ...] = ()

_COUNT = len(NAMES)
ASKS = tuple([Call(nr.prlimit64, 0, n, 0, Out(RLIMIT.size), why="resource limit") for n in range(_COUNT)])


class State(Frozen):
    """By the number of the limit (asm-generic/resource.h); no limit is 2**64 - 1."""

    soft: tuple[int, ...]
    hard: tuple[int, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has those of its cloner.

    :raises Blocker: CPU time is limited: the time used so far cannot be given to another process.
    """
    values = unpack(f"<{2 * _COUNT}Q", b"".join([answer.outs[0] for answer in answers]))
    state = State(values[::2], values[1::2])
    if (state.soft[RLIMIT_CPU], state.hard[RLIMIT_CPU]) != (RLIM_INFINITY, RLIM_INFINITY):
        raise Blocker(
            "its CPU time is limited, and what it has used so far would be forgotten",
            code="cpu-limit",
            pid=t.pid,
            resource="RLIMIT_CPU",
            hint=f"prlimit --pid {t.pid} --cpu=unlimited",
        )
    return state


def check(state: State, tid: int) -> None:
    """Compare with what the restorer may give.

    :raises Blocker: a hard limit is above that of the restorer, which lacks CAP_SYS_RESOURCE.
    :raises ImageError: these are not 16 limits.
    """
    if len(state.soft) != _COUNT or len(state.hard) != _COUNT:
        raise ImageError(f"the limits of process {tid} are not {_COUNT}", code="image-corrupt", pid=tid)
    may_raise, ours = _ours()
    over = [] if may_raise else [n for n in range(_COUNT) if state.hard[n] > ours[n]]
    if over:
        names = ", ".join("RLIMIT_" + NAMES[n] for n in over)
        raise Blocker(
            f"process {tid} has hard limits above those of the restore: {names}",
            code="limit-too-high",
            pid=tid,
            resource=names,
            hint="raise these limits for the restore (ulimit -H), or run it with CAP_SYS_RESOURCE",
        )


_memo: list[tuple[bool, tuple[int, ...]]] = []


def _ours() -> tuple[bool, tuple[int, ...]]:
    """Whether the restorer can raise hard limits, and its own."""
    if not _memo:
        data = bytearray(cap.SIZE)
        syscall(nr.capget, cap.SELF, data)
        hard = []
        for number in range(_COUNT):
            limit = bytearray(RLIMIT.size)
            syscall(nr.prlimit64, 0, number, 0, limit)
            hard.append(RLIMIT.unpack(limit)[1])
        _memo.append((bool(cap.unpack(data)[0] >> cap.CAP_SYS_RESOURCE & 1), tuple(hard)))
    return _memo[0]


_programs: dict[State, list[Call]] = {}


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set all of them; processes with the same limits share the calls."""
    calls = _programs.get(state)
    if calls is None:
        calls = _programs[state] = _program(state)
    on.calls += calls


def _program(state: State) -> list[Call]:
    pairs = enumerate(map(RLIMIT.pack, state.soft, state.hard))
    return [Call(nr.prlimit64, 0, n, limit, 0, why=f"RLIMIT_{NAMES[n]}") for n, limit in pairs]
