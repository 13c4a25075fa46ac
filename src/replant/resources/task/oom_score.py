"""How soon the kernel kills a process for want of memory, ``/proc/PID/oom_score_adj``, from -1000 to 1000.

It is written by the restorer (the process may have no /proc), and only where it differs from the restorer's own,
which every stub has inherited: lowering it needs CAP_SYS_RESOURCE, leaving it alone does not.
"""

from __future__ import annotations

import os

from replant.abi import x86_64 as nr
from replant.model.frozen import Frozen
from replant.observe.procfs import oom_score_adj

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES: tuple[str, ...] = ()
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_AT_FDCWD = -100


class State(Frozen):
    """The adjustment."""

    adjustment: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has that of its cloner."""
    return State(oom_score_adj(t.pid))


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Nothing is done inside."""


_memo: list[int] = []


def _ours() -> int:
    if not _memo:
        _memo.append(oom_score_adj(os.getpid()))
    return _memo[0]


def make_outside(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Write it, once the process has cloned its children."""
    if state.adjustment == _ours():
        return
    path, text = b"/proc/%d/oom_score_adj" % tid, b"%d" % state.adjustment
    fd = on.call(nr.openat, _AT_FDCWD, path, os.O_WRONLY | os.O_CLOEXEC, why="OOM score adjustment")
    on.call(nr.write, fd, text, len(text), why="OOM score adjustment")
    on.call(nr.close, fd, why="OOM score adjustment")
