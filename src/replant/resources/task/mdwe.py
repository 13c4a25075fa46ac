"""Memory that was writable never becomes executable, PR_SET_MDWE of prctl(2). It cannot be taken back.

It would forbid to fill code pages and then protect them, so it comes after all mappings.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.prctl import PR_GET_MDWE, PR_SET_MDWE
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES: tuple[str, ...] = ()
SPOILS = ("mapping", "clone")
SETS: tuple[str, ...] = ()
ASKS = (Call(nr.prctl, PR_GET_MDWE, 0, 0, 0, 0, why="deny write and execute"),)


class State(Frozen):
    """PR_MDWE_REFUSE_EXEC_GAIN (1), PR_MDWE_NO_INHERIT (2)."""

    flags: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: it is off. (A restorer that has it on could not map code at all.)"""
    return State(answers[0].ret) if answers[0].ret else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.prctl, PR_SET_MDWE, state.flags, 0, 0, 0, why="deny write and execute")
