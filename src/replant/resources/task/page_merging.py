"""Pages of equal content merged for a whole process, PR_SET_MEMORY_MERGE of prctl(2) (Linux 6.4).

It marks every mapping that is there, and every later one, as mergeable.
"""

from __future__ import annotations

from errno import EINVAL

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.prctl import PR_GET_MEMORY_MERGE, PR_SET_MEMORY_MERGE
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("memory",)
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()
ASKS = (Call(nr.prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0, why="page merging", ok=(EINVAL,)),)


class State(Frozen):
    """Whether it is on."""

    on: bool


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """Kept where the kernel has it: it survives clone and exec. None: a kernel without."""
    return State(answers[0].ret == 1) if answers[0].ret >= 0 else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it; a kernel without page merging has it off."""
    ok = () if state.on else (EINVAL,)
    on.call(nr.prctl, PR_SET_MEMORY_MERGE, int(state.on), 0, 0, 0, why="page merging", ok=ok)
