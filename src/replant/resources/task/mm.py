"""What a process's memory descriptor says of itself: bounds of code, data, heap, stack, arguments, environment; auxv.

``/proc/PID/cmdline``, ``environ`` and ``auxv`` are read through these bounds, and brk(2) goes on from the heap's end.
PR_SET_MM_MAP of prctl(2) sets all at once, and the executable too, without CAP_SYS_RESOURCE. The kernel takes a new
executable only when no mapping of the old one is left (EBUSY), and checks the heap against RLIMIT_DATA.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.mm import AUXV_ROOM, auxv_end, mm_map
from replant.abi.prctl import PR_GET_AUXV, PR_SET_MM, PR_SET_MM_MAP
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts


VERSION = 1
SCOPE = "process"
USES = ("room", "memory", "open", "privilege")
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS = (
    Call(nr.brk, 0, why="end of the heap"),
    Call(nr.prctl, PR_GET_AUXV, Out(AUXV_ROOM), AUXV_ROOM, 0, 0, why="auxiliary vector"),
)


class State(Frozen):
    """Addresses, in the order of ``struct prctl_mm_map``; ``auxv`` as in ``/proc/PID/auxv``, up to its AT_NULL."""

    start_code: int
    end_code: int
    start_data: int
    end_data: int
    start_brk: int
    brk: int
    start_stack: int
    arg_start: int
    arg_end: int
    env_start: int
    env_end: int
    auxv: bytes


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept."""
    s, heap, auxv = t.stat, answers[0].ret, answers[1].outs[0]
    image = (s.startcode, s.endcode, s.start_data, s.end_data, s.start_brk, heap, s.startstack)
    return State(*image, s.arg_start, s.arg_end, s.env_start, s.env_end, auxv[: auxv_end(auxv)])


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set all of it with one call, the executable with it."""
    *bounds, auxv = state
    data = mm_map(tuple(bounds), restore.place(auxv), len(auxv), restore.exe_fd(tid))
    on.call(nr.prctl, PR_SET_MM, PR_SET_MM_MAP, data, len(data), 0, why="memory descriptor")


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """All but the end of the heap, which moves as the program runs."""
    for name, old, new in zip(State._fields, before, after, strict=True):
        if old != new and name != "brk":
            yield f"{name}: {old!r} became {new!r}"
