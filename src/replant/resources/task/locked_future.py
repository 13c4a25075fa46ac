"""Whether what a process maps from now on is locked into memory, MCL_FUTURE of mlockall(2).

No interface tells. But the room that a dump asks a process from is mapped like everything else: where it is locked,
more of the process is locked (VmLck of ``/proc/PID/status``) than there was at the stop. A process in which nothing is
locked is not looked at: one that has asked for MCL_FUTURE and mapped nothing since is taken for one that has not.
"""

from __future__ import annotations

from replant.abi import mman
from replant.abi import x86_64 as nr
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.observe.procfs import status
from replant.observe.procfs.read import read_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("privilege", "room")
SPOILS = ("mapping",)
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()


class State(Frozen):
    """It is. ``on_fault``: each page when it is touched first (MCL_ONFAULT), not all at once."""

    on_fault: bool


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: it is not.

    :raises Blocker: some of what is locked was locked on fault and some at once, so it is not known which is to come.
    """
    locked = t.status.vm_locked
    if not locked or status(t.pid).vm_locked <= locked:
        return None
    kinds = {b" lf" in line for line in _flags(t.pid) if b" lo" in line}
    if len(kinds) == 2:
        raise Blocker(
            "it locks what it maps (MCL_FUTURE), and whether at once or on fault cannot be told",
            code="locked-future",
            pid=t.pid,
            resource="mlockall",
            hint="have the program call munlockall before the dump",
        )
    return State(True in kinds)


def _flags(pid: int) -> list[bytes]:
    lines = read_memory(pid, f"/proc/{pid}/smaps").splitlines()
    return [line for line in lines if line.startswith(b"VmFlags:")]


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Lock what is to come; what is there has its own locks."""
    flags = mman.MCL_FUTURE | (mman.MCL_ONFAULT if state.on_fault else 0)
    on.call(nr.mlockall, flags, why="memory of the future is locked")
