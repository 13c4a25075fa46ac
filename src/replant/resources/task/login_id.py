"""The audit login id of a process, ``/proc/PID/loginuid``: who logged in at the beginning.

A task may write its own only, so it is done inside, while the restorer's /proc is still in reach and before threads
inherit it. Without CAP_AUDIT_CONTROL a login id that is set stays: so nothing is written where the stub has the right
one from the restorer.
"""

from __future__ import annotations

import os

from replant.abi import x86_64 as nr
from replant.model.frozen import Frozen
from replant.observe.procfs.read import read as read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("privilege", "room", "alone", "root")
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_AT_FDCWD = -100


class State(Frozen):
    """A user id; 2**32 - 1: nobody has logged in."""

    uid: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """Kept where the kernel audits: a clone has that of its cloner. None: a kernel that does not."""
    uid = _of(t.pid)
    return None if uid is None else State(uid)


def _of(pid: int) -> int | None:
    try:
        return int(read_file(pid, f"/proc/{pid}/loginuid", 64))
    except FileNotFoundError:
        return None


_memo: list[int | None] = []


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Write it where it differs from the restorer's."""
    if not _memo:
        _memo.append(_of(os.getpid()))
    if state.uid in _memo:
        return
    text = b"%d" % state.uid
    fd = on.call(nr.openat, _AT_FDCWD, b"/proc/self/loginuid", os.O_WRONLY | os.O_CLOEXEC, why="audit login id")
    on.call(nr.write, fd, text, len(text), why="audit login id")
    on.call(nr.close, fd, why="audit login id")
