"""A thread that writes back memory for others, PR_SET_IO_FLUSHER of prctl(2): its allocations must not wait for IO.

Asking needs CAP_SYS_RESOURCE, which the thread may not have (any more). What the setting sets, two bits of the flags
in ``/proc/TID/stat``, everybody can see.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.prctl import PR_SET_IO_FLUSHER
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES = ("privilege",)
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()
LIKE = ("flags",)
ASKS: tuple[Call, ...] = ()

_PF_IO_FLUSHER = 0x00080000 | 0x00100000  # PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE of linux/sched.h


class State(Frozen):
    """It is one. There is no State for a thread that is not."""


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: it is none."""
    return State() if t.stat.flags & _PF_IO_FLUSHER == _PF_IO_FLUSHER else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0, why="IO flusher")
