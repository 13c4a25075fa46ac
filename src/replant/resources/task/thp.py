"""Transparent huge pages switched off for a process, PR_SET_THP_DISABLE of prctl(2); its mappings keep their flags.

Since Linux 6.18 the answer has flags beside the lowest bit: PR_THP_DISABLE_EXCEPT_ADVISED (2).
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.prctl import PR_GET_THP_DISABLE, PR_SET_THP_DISABLE
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("empty",)
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
SHAPES_PAGES = True
ASKS = (Call(nr.prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0, why="huge pages of the process"),)


class State(Frozen):
    """``flags`` are those beside the switch itself."""

    disabled: bool
    flags: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: it survives clone and exec, so a stub may have it from the restorer."""
    value = answers[0].ret
    return State(bool(value), value & ~1)


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.prctl, PR_SET_THP_DISABLE, int(state.disabled), state.flags, 0, 0, why="huge pages of the process")
