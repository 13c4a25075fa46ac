"""The list of robust futexes that a thread holds, set_robust_list(2): where its head is.

A fresh thread has none. The kernel looks at the memory only when the thread ends.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()


class State(Frozen):
    """Address and length of ``struct robust_list_head``."""

    address: int
    length: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: there is none."""
    return State(*t.robust_list) if t.robust_list[0] else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.set_robust_list, state.address, state.length, why="robust futexes")
