"""The signal that a thread gets when its parent ends, PR_SET_PDEATHSIG of prctl(2).

The kernel clears it when credentials change, and sends it at every reparenting: it is set after both.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.prctl import PR_GET_PDEATHSIG, PR_SET_PDEATHSIG
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES = ("family",)
SPOILS: tuple[str, ...] = ()
SETS = ("pdeathsig",)
LIKE = ("pdeath_signal",)
ASKS = (Call(nr.prctl, PR_GET_PDEATHSIG, Out(4), why="parent-death signal"),)


class State(Frozen):
    """The signal number."""

    signal: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: there is none, as in every clone."""
    signal = int.from_bytes(answers[0].outs[0], "little")
    return State(signal) if signal else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.prctl, PR_SET_PDEATHSIG, state.signal, why="parent-death signal")
