"""Seccomp, seccomp(2): strict mode and filters of each thread, with their order and flags.

Every thread has a chain of filters, which it got at birth and has added to since. Common beginnings of chains are one
in the kernel, and must be so again: a filter can only be laid upon all threads at once (SECCOMP_FILTER_FLAG_TSYNC) if
theirs are beginnings of the caller's. They can only be shared by birth. So within a process chains that begin alike
form a tree, and each thread is cloned by one that has just that much of its chain (`births`). Between processes nobody
can tell whether a filter is the same or an equal one.

Nothing of it hinders the dump or the restore: both suspend it by PTRACE_O_SUSPEND_SECCOMP, until they let go.

Refused: filters that report to a supervisor (SECCOMP_RET_USER_NOTIF), as its descriptor cannot be connected again.
"""

from __future__ import annotations

from errno import EMEDIUMTYPE

from replant.abi import capability as cap
from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.libc import syscall
from replant.abi.prctl import PR_GET_SECCOMP
from replant.abi.ptrace import O_SUSPEND_SECCOMP
from replant.abi.seccomp import (
    BPF_RET,
    FILTER_FLAG_LOG,
    FILTER_FLAG_SPEC_ALLOW,
    INSTRUCTION,
    MAX_INSTRUCTIONS,
    MODE_STRICT,
    PROGRAM,
    RET_ACTION,
    RET_USER_NOTIF,
    SET_MODE_FILTER,
    SET_MODE_STRICT,
)
from replant.errors import Blocker, ImageError
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()
TRACED = O_SUSPEND_SECCOMP


class Filter(Frozen):
    """``program``: instructions of 8 bytes (struct sock_filter); ``log``: whether its actions may be logged."""

    program: bytes
    log: bool


class State(Frozen):
    """Strict mode, or the chain of filters, the oldest first."""

    strict: bool
    filters: tuple[Filter, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: no seccomp.

    :raises Blocker: a filter has a supervisor, or cannot be read.
    """
    mode = t.status.seccomp
    if not mode:
        return None
    if mode == MODE_STRICT:
        return State(True, ())
    filters = tuple(Filter(program, bool(flags & FILTER_FLAG_LOG)) for flags, program in _filters(t))
    if any(_asks_supervisor(f.program) for f in filters):
        raise _blocker(t.tid, "has a seccomp filter that reports to a supervisor", "end it without the supervisor")
    return State(False, filters)


def _filters(t: TaskFacts) -> Sequence[tuple[int, bytes]]:
    try:
        return t.seccomp_filters
    except OSError as e:
        why = "is no classic program" if e.errno == EMEDIUMTYPE else f"cannot be read: {e.strerror}"
        raise _blocker(t.tid, f"has a seccomp filter that {why}", "run replant with CAP_SYS_ADMIN") from e


def _asks_supervisor(program: bytes) -> bool:
    instructions = INSTRUCTION.iter_unpack(program)
    return any(code == BPF_RET and k & RET_ACTION == RET_USER_NOTIF for code, _, _, k in instructions)


def _blocker(tid: int, what: str, hint: str) -> Blocker:
    return Blocker(f"task {tid} {what}", code="seccomp", pid=tid, resource=f"task {tid}", hint=hint)


def check(state: State, tid: int) -> None:
    """Compare with what a filter may be, and with what the restorer may do.

    :raises Blocker: it may not suspend seccomp. :raises ImageError: these are no filters.
    """
    for size in (len(f.program) for f in state.filters):
        if not size or size % INSTRUCTION.size or size > MAX_INSTRUCTIONS * INSTRUCTION.size:
            raise ImageError(f"thread {tid} has a seccomp filter of {size} bytes", code="image-corrupt", pid=tid)
    if not _may_suspend():
        raise _blocker(
            tid,
            "is under seccomp, which this process may not make again",
            "run the restore with CAP_SYS_ADMIN, and under no seccomp itself",
        )


_memo: list[bool] = []


def _may_suspend() -> bool:
    if not _memo:
        data = bytearray(cap.SIZE)
        syscall(nr.capget, cap.SELF, data)
        _memo.append(bool(cap.unpack(data)[0] >> cap.CAP_SYS_ADMIN & 1) and syscall(nr.prctl, PR_GET_SECCOMP) == 0)
    return _memo[0]


def births(
    threads: Sequence[int], states: Mapping[int, State], restore: RestoreSide
) -> Mapping[int, Sequence[int | Call]]:
    """Who clones whom, and who installs which filter in between, so that equal beginnings of chains are one."""
    chains = {tid: states[tid].filters if tid in states else () for tid in threads}
    plan: dict[int, list[int | Call]] = {}
    grown = [(threads[0], 0, list(threads[1:]))]
    for tid, depth, others in grown:  # the thread has that much of its chain, as the others will at their birth
        steps = plan[tid] = []
        while True:
            steps += [other for other in others if len(chains[other]) == depth]
            branches: dict[Filter, list[int]] = {}
            for other in others:
                if len(chains[other]) > depth:
                    branches.setdefault(chains[other][depth], []).append(other)
            own = chains[tid][depth] if len(chains[tid]) > depth else None
            others = branches.pop(own, []) if own is not None else []
            for first, *rest in branches.values():
                steps.append(first)
                grown.append((first, depth, rest))
            if own is None:
                break
            steps.append(_install(own, restore))
            depth += 1
    return plan


def _install(f: Filter, restore: RestoreSide) -> Call:
    """Mitigations against speculation, which a filter may bring along, are an attribute of their own."""
    program = PROGRAM.pack(len(f.program) // INSTRUCTION.size, restore.place(f.program))
    flags = FILTER_FLAG_SPEC_ALLOW | (FILTER_FLAG_LOG if f.log else 0)
    return Call(nr.seccomp, SET_MODE_FILTER, flags, program, why="seccomp filter")


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Strict mode; filters come with the birth of the thread, or directly before and after."""
    if state.strict:
        on.call(nr.seccomp, SET_MODE_STRICT, 0, 0, why="strict mode")
