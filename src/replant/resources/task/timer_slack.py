"""How late the timers of a thread may be, PR_SET_TIMERSLACK of prctl(2), in nanoseconds.

The default that a value of 0 goes back to cannot be read without setting it. A thread begins with the slack of its
creator for both, so the default of a restored thread is that of the restorer (50 us unless somebody changed it).
The slack of a real-time thread reads 0: it has none.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.prctl import PR_GET_TIMERSLACK, PR_SET_TIMERSLACK
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
LIKE = ("timer_slack_ns",)
ASKS = (Call(nr.prctl, PR_GET_TIMERSLACK, why="timer slack"),)


class State(Frozen):
    """Nanoseconds; 0 for a real-time thread."""

    slack: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has that of its cloner."""
    return State(answers[0].ret)


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.prctl, PR_SET_TIMERSLACK, state.slack, why="timer slack")
