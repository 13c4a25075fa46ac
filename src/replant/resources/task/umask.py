"""The file mode creation mask, umask(2). It can be read from outside only: asking inside means setting."""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.errors import Blocker
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()


class State(Frozen):
    """Permission bits, 0 to 0o777."""

    mask: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has that of its cloner.

    :raises Blocker: /proc does not tell.
    """
    if t.status.umask is None:
        raise Blocker("the umask is not shown by /proc/PID/status", code="no-umask", pid=t.pid, resource="umask")
    return State(t.status.umask)


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it."""
    on.call(nr.umask, state.mask, why="umask")
