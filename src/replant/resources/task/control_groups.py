"""The control groups of a thread, one in each hierarchy, cgroups(7): each enters its own again.

A process enters before its memory is filled, which is then charged to where it belongs; threads in other groups than
their leader follow. With ``--cgroups ignore`` the tree stays in the groups of whoever restores it, with ``--cgroups
PATH`` it is in groups of the same names below that one. The groups themselves are kept as `control_group`.
"""

from __future__ import annotations

import os

from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.resources.shared import cgroups
from replant.resources.shared.cgroups import UNIFIED, Place

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
LIKE = ("cgroups_key",)
ASKS: tuple[Call, ...] = ()


class State(Frozen):
    """``lines``: ``HIERARCHY:PATH``, sorted; of a further thread only those where its leader is not."""

    leader: bool
    lines: str


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: a thread that is where its leader is."""
    lines = cgroups.of_task(t.pid, t.tid)
    if t.leader:
        _leader[:] = [(t.pid, lines)]
        return State(True, lines)
    of_leader = _leader[0][1] if _leader and _leader[0][0] == t.pid else cgroups.of_task(t.pid, t.pid)
    others = {*lines.splitlines()} - {*of_leader.splitlines()}
    return State(False, "\n".join(sorted(others))) if others else None


_leader: list[tuple[int, str]] = []  # of the process whose threads are being read: they follow their leader


def enter(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Calls in the restorer that move a process, where it was not born where it belongs.

    :raises Blocker: a hierarchy is not mounted here, or the group is frozen.
    """
    born = cgroups.places(_born(tid))
    for place in cgroups.places(state.lines):
        chosen = cgroups.chosen(place, restore.policy)
        if chosen is not None and chosen not in born:
            _refuse_frozen(chosen)
            cgroups.write(on, f"{cgroups.folder(chosen)}/cgroup.procs", str(tid), f"into {chosen.path}")


def _born(pid: int) -> str:
    """Where a process is: where its maker was; or where it would be, if it is only planned."""
    try:
        return cgroups.of_task(pid, pid)
    except FileNotFoundError:
        return cgroups.of_task(os.getpid(), os.getpid())


def _refuse_frozen(place: Place) -> None:
    """In a frozen group nothing of a task could be made. It may be one that is made only now."""
    try:
        name = "cgroup.events" if place.hierarchy == UNIFIED else "freezer.state"
        with open(f"{cgroups.folder(place)}/{name}", encoding="ascii") as file:
            text = file.read()
    except FileNotFoundError:
        return
    if "frozen 1" in text or "FROZEN" in text or "FREEZING" in text:
        raise Blocker(
            f"the control group {place.path} is frozen here",
            code="cgroup-frozen",
            resource=place.path,
            hint="thaw it for the restore; a group that was frozen at the dump will be frozen again",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Nothing that a task does itself."""


def make_outside(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Move a thread that is elsewhere than its leader, which has entered its groups already."""
    for place in () if state.leader else cgroups.places(state.lines):
        chosen = cgroups.chosen(place, restore.policy)
        if chosen is not None:
            file = "cgroup.threads" if place.hierarchy == UNIFIED else "tasks"
            cgroups.write(on, f"{cgroups.folder(chosen)}/{file}", str(tid), f"thread into {chosen.path}")
