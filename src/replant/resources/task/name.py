"""The name of a thread, ``/proc/TID/comm``: up to 15 bytes, any but NUL."""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.prctl import PR_GET_NAME, PR_SET_NAME
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
LIKE = ("comm",)
ASKS = (Call(nr.prctl, PR_GET_NAME, Out(16), why="name"),)


class State(Frozen):
    """The name without its NUL."""

    name: bytes


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has the name of its cloner."""
    return State(answers[0].outs[0].partition(b"\0")[0])


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.prctl, PR_SET_NAME, state.name, why="name")
