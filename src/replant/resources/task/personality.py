"""The execution domain of a thread, personality(2): no address randomisation, READ_IMPLIES_EXEC, …"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
# READ_IMPLIES_EXEC would change the protection of what is mapped later
USES: tuple[str, ...] = ()
SPOILS = ("mapping",)
SETS: tuple[str, ...] = ()
LIKE = ("personality",)
ASKS = (Call(nr.personality, 0xFFFFFFFF, why="personality"),)


class State(Frozen):
    """As in personality(2)."""

    persona: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has that of its cloner."""
    return State(answers[0].ret)


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.personality, state.persona, why="personality")
