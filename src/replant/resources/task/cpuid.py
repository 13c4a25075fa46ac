"""A thread for which the CPUID instruction faults, ARCH_SET_CPUID of arch_prctl(2)."""

from __future__ import annotations

from errno import ENODEV

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.prctl import ARCH_GET_CPUID, ARCH_SET_CPUID
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()
LIKE = ("thread_flags",)
ASKS = (Call(nr.arch_prctl, ARCH_GET_CPUID, 0, why="CPUID faulting", ok=(ENODEV,)),)


class State(Frozen):
    """It faults. There is no State for a thread that may execute CPUID."""


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: CPUID works."""
    return State() if answers[0].ret == 0 else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Make it fault; a CPU that cannot says ENODEV."""
    on.call(nr.arch_prctl, ARCH_SET_CPUID, 0, why="CPUID faulting")
