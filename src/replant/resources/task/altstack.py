"""The alternate signal stack of a thread, sigaltstack(2).

Asked from a thread that is on it, the kernel adds SS_ONSTACK to the flags: that is said by the stack pointer and is no
part of the setting. Setting is refused (EPERM) on it for the same reason; a stub runs elsewhere. A handler entered
with SS_AUTODISARM finds the stack disabled, and its frame has what rt_sigreturn sets again.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.sigaction import SS_AUTODISARM, SS_DISABLE, STACK
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
LIKE = ("altstack",)
ASKS = (Call(nr.sigaltstack, 0, Out(STACK.size), why="alternate signal stack"),)


class State(Frozen):
    """Address and size in bytes; ``autodisarm`` is SS_AUTODISARM."""

    address: int
    size: int
    autodisarm: bool


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: there is none."""
    address, flags, size = STACK.unpack(answers[0].outs[0])
    if flags & SS_DISABLE:
        return None
    return State(address, size, bool(flags & SS_AUTODISARM))


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it; the memory need not be there yet."""
    flags = SS_AUTODISARM if state.autodisarm else 0
    on.call(nr.sigaltstack, STACK.pack(state.address, flags, state.size), 0, why="alternate signal stack")
