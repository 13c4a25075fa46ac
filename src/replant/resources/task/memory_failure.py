"""What a thread wants when its memory fails, PR_MCE_KILL of prctl(2): SIGBUS early, late, or as the system does."""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.prctl import (
    PR_MCE_KILL,
    PR_MCE_KILL_GET,
    PR_MCE_KILL_SET,
)
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
LIKE = ("flags",)
ASKS = (Call(nr.prctl, PR_MCE_KILL_GET, 0, 0, 0, 0, why="policy for failing memory"),)


class State(Frozen):
    """PR_MCE_KILL_LATE (0), PR_MCE_KILL_EARLY (1) or PR_MCE_KILL_DEFAULT (2)."""

    policy: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has that of its cloner."""
    return State(answers[0].ret)


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it; the default is set like the others."""
    on.call(nr.prctl, PR_MCE_KILL, PR_MCE_KILL_SET, state.policy, 0, 0, why="policy for failing memory")
