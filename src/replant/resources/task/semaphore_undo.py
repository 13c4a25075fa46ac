"""Changes of System V semaphores that are taken back at the end of a process, SEM_UNDO of semop(2).

Only the kernel's memory tells what they are (BPF), so a process that may have any is refused where that cannot be read.
It may have some if a set was used since it began and it has a list of changes at all, which every process that ever had
two threads has. They are made again by two operations at once that leave the value as it is, of which one is undone.
"""

from __future__ import annotations

import os
import time

from replant.abi import ipc, kcmp
from replant.abi import x86_64 as nr
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.observe.sharing import same as shared
from replant.resources.shared import kernel, sysv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("privilege",)
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()


class Change(Frozen):
    """``adjustment`` is added to semaphore ``number`` of set ``set`` at the end of the process."""

    set: int
    number: int
    adjustment: int


class State(Frozen):
    """All changes of a process, in order."""

    changes: tuple[Change, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: there are none.

    :raises Blocker: it cannot be told whether there are, or a thread has some of its own.
    """
    rows = _may_have(t)
    if not rows:
        return None
    if any(not shared(kcmp.SYSVSEM, t.pid, int(tid)) for tid in os.listdir(f"/proc/{t.pid}/task")):
        raise _refused(t, "has a thread whose changes of semaphores to undo are its own (CLONE_SYSVSEM)")
    reader: Any = kernel.queues([t.pid], "undo.Undo")
    if reader is None:
        raise _refused(t, "may have changes of semaphores to undo at its end (SEM_UNDO), which cannot be read here")
    found = reader.adjustments({row["id"]: row["nsems"] for row in rows})
    changes = [Change(a.semid, n, value) for a in found for n, value in enumerate(a.values) if value]
    return State(tuple(sorted(changes))) if changes else None


def _may_have(t: TaskFacts) -> list[sysv.Row]:
    """All sets, if it may have changes of any to undo; who has no list shares that with us."""
    if shared(kcmp.SYSVSEM, t.pid, os.getpid()):
        return []
    rows = sysv.table("sem")
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + t.stat.starttime / os.sysconf("SC_CLK_TCK")
    return rows if max((row["otime"] for row in rows), default=0) >= began - 1 else []


def _refused(t: TaskFacts, what: str) -> Blocker:
    return Blocker(
        f"process {t.pid} {what}",
        code="semaphore-undo",
        pid=t.pid,
        resource="SEM_UNDO",
        hint="dump it once the semaphores of semop(2) that it uses are gone: see ipcs -s, ipcrm -s",
    )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Each change and its contrary; the value must not leave its range between the two, so it goes up first."""
    for change in state.changes:
        undone = (change.number, -change.adjustment, ipc.SEM_UNDO | ipc.IPC_NOWAIT)
        back = (change.number, change.adjustment, ipc.IPC_NOWAIT)
        pair = (undone, back) if change.adjustment < 0 else (back, undone)
        on.call(nr.semop, change.set, ipc.pack_sembuf(*pair), 2, why="undone at its end")
