"""What a process has registered for, membarrier(2): commands that fail with EPERM without it.

Registering is quick while the process has one thread; with several the kernel waits for an RCU grace period.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.membarrier import GET_REGISTRATIONS, REGISTRATIONS
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("alone",)
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS = (Call(nr.membarrier, GET_REGISTRATIONS, 0, 0, why="memory barrier registrations"),)


class State(Frozen):
    """MEMBARRIER_CMD_REGISTER_* bits."""

    registered: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: for nothing, as after exec."""
    return State(answers[0].ret) if answers[0].ret else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Register for each; those for a command on one CPU only are no registrations of their own."""
    for command in REGISTRATIONS:
        if state.registered & command:
            on.call(nr.membarrier, command, 0, 0, why="memory barrier registration")
