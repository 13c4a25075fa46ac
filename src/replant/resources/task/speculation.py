"""Speculation that a thread has switched off for itself, PR_SET_SPECULATION_CTRL of prctl(2)."""

from __future__ import annotations

from errno import EINVAL, ENODEV

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.libc import syscall_raw
from replant.abi.prctl import (
    PR_GET_SPECULATION_CTRL,
    PR_SET_SPECULATION_CTRL,
    PR_SPEC_ENABLE,
    PR_SPEC_INDIRECT_BRANCH,
    PR_SPEC_L1D_FLUSH,
    PR_SPEC_PRCTL,
    PR_SPEC_STORE_BYPASS,
)
from replant.errors import Blocker
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
LIKE = ("atomic_flags", "thread_flags")

_NAMES = {
    PR_SPEC_STORE_BYPASS: "store bypass",
    PR_SPEC_INDIRECT_BRANCH: "indirect branches",
    PR_SPEC_L1D_FLUSH: "flushing the L1D cache",
}
_UNKNOWN = (EINVAL, ENODEV)  # no such control in this kernel
ASKS = tuple([Call(nr.prctl, PR_GET_SPECULATION_CTRL, n, 0, 0, 0, why="speculation", ok=_UNKNOWN) for n in _NAMES])


class Control(Frozen):
    """``which`` and ``value`` as in prctl(2), value without PR_SPEC_PRCTL."""

    which: int
    value: int


class State(Frozen):
    """The controls that are a thread's own matter on the CPU it ran on."""

    controls: tuple[Control, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: this CPU or kernel leaves threads no choice."""
    asked = [(which, answer.ret) for which, answer in zip(_NAMES, answers, strict=True)]
    own = [Control(which, ret & ~PR_SPEC_PRCTL) for which, ret in asked if ret > 0 and ret & PR_SPEC_PRCTL]
    return State(tuple(own)) if own else None


def check(state: State, tid: int) -> None:
    """A CPU that speculates must let the thread switch it off.

    :raises Blocker: something was off that stays on here.
    """
    for c in state.controls:
        if c.value != PR_SPEC_ENABLE and syscall_raw(nr.prctl, PR_GET_SPECULATION_CTRL, c.which) == PR_SPEC_ENABLE:
            raise Blocker(
                f"thread {tid} has switched off {_NAMES[c.which]}, which cannot be switched off on this host",
                code="speculation",
                pid=tid,
                resource=_NAMES[c.which],
                hint="boot with the mitigation set to prctl or seccomp",
            )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set those that this host leaves to threads; on the others nothing is to be done."""
    for c in state.controls:
        now = syscall_raw(nr.prctl, PR_GET_SPECULATION_CTRL, c.which)
        if now > 0 and now & PR_SPEC_PRCTL:
            on.call(nr.prctl, PR_SET_SPECULATION_CTRL, c.which, c.value, 0, 0, why=f"speculation: {_NAMES[c.which]}")
