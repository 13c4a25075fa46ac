"""The address that the kernel clears and wakes when a thread ends, set_tid_address(2): what a join waits for."""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.prctl import PR_GET_TID_ADDRESS
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
TOLD = "clear_child_tid"
ASKS = (Call(nr.prctl, PR_GET_TID_ADDRESS, Out(8), why="address cleared at exit"),)


class State(Frozen):
    """The address."""

    address: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: there is none, as in a clone without CLONE_CHILD_CLEARTID."""
    return told(int.from_bytes(answers[0].outs[0], "little"))


def told(address: int) -> State | None:
    """The same, of a thread that need not be asked."""
    return State(address) if address else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it; the memory is written only when the thread ends."""
    on.call(nr.set_tid_address, state.address, why="address cleared at exit")
