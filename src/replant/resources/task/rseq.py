"""The area for restartable sequences of a thread, rseq(2): address, length, signature.

The area can be longer than the first 32 bytes (what the kernel fills in beyond, AT_RSEQ_FEATURE_SIZE tells); the kernel
writes the CPU, node and concurrency ids when the thread next returns to user mode, so they are never stale. Since
Linux 6.14 registering clears the pointer to a critical section; before, a pointer left in the memory is followed at the
first return. Both are right here, as a thread caught inside a section has been moved to its abort handler at the
freeze, outside of it, before anything ran in it.
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
USES = ("memory", "access")
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()


class State(Frozen):
    """As in rseq(2)."""

    address: int
    length: int
    signature: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: none is registered."""
    return State(*t.rseq) if t.rseq[0] else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Register it; the kernel reads and writes the area at once."""
    on.call(nr.rseq, state.address, state.length, 0, state.signature, why="restartable sequences")
