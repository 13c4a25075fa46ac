"""A thread that may not read the time-stamp counter, PR_SET_TSC of prctl(2): rdtsc gives SIGSEGV."""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.prctl import PR_GET_TSC, PR_SET_TSC, PR_TSC_SIGSEGV
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()
LIKE = ("thread_flags",)
ASKS = (Call(nr.prctl, PR_GET_TSC, Out(4), why="time-stamp counter"),)


class State(Frozen):
    """It may not. There is no State for a thread that may."""


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: it may, as every restorer that reads a clock."""
    return State() if int.from_bytes(answers[0].outs[0], "little") == PR_TSC_SIGSEGV else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Forbid it."""
    on.call(nr.prctl, PR_SET_TSC, PR_TSC_SIGSEGV, why="time-stamp counter")
