"""Which mappings a core dump of a process has, ``/proc/PID/coredump_filter``, see core(5)."""

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
USES: tuple[str, ...] = ()
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_AT_FDCWD = -100


class State(Frozen):
    """The bits of core(5)."""

    bits: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """Kept where the kernel dumps core: a clone has that of its cloner. None: a kernel that does not."""
    bits = _of(t.pid)
    return None if bits is None else State(bits)


def _of(pid: int) -> int | None:
    try:
        text = read_file(pid, f"/proc/{pid}/coredump_filter", 64)
    except FileNotFoundError:
        return None
    return int(text, 16)


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Nothing is done inside."""


_memo: list[int | None] = []


def make_outside(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Write it where it differs from what the stub has from the restorer, once the process has cloned its children."""
    if not _memo:
        _memo.append(_of(os.getpid()))
    if state.bits in _memo:
        return
    path, text = b"/proc/%d/coredump_filter" % tid, b"0x%x" % state.bits
    fd = on.call(nr.openat, _AT_FDCWD, path, os.O_WRONLY | os.O_CLOEXEC, why="core dump filter")
    on.call(nr.write, fd, text, len(text), why="core dump filter")
    on.call(nr.close, fd, why="core dump filter")
