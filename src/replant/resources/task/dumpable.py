"""Whether a process may be traced and dump core, PR_SET_DUMPABLE of prctl(2); who owns its /proc files follows from it.

The third state (2: by root only) cannot be set: the kernel gives it to a process whose credentials change while
``fs.suid_dumpable`` is 2. That change has been made with the credentials, so nothing is left to do.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.prctl import PR_GET_DUMPABLE, PR_SET_DUMPABLE
from replant.errors import Blocker
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS = ("dumpable",)
ASKS = (Call(nr.prctl, PR_GET_DUMPABLE, why="dumpable"),)

_BY_ROOT = 2
_SUID_DUMPABLE = "/proc/sys/fs/suid_dumpable"


class State(Frozen):
    """0: no; 1: yes; 2: core dumps by root only."""

    dumpable: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: setting the credentials changes it."""
    return State(answers[0].ret)


def check(state: State, tid: int) -> None:
    """Look at the host's rule for the third state.

    :raises Blocker: the state is 2 and the host does not give it.
    """
    if state.dumpable == _BY_ROOT:
        with open(_SUID_DUMPABLE) as file:
            rule = int(file.read())
        if rule != _BY_ROOT:
            raise Blocker(
                f"process {tid} is dumpable by root only, which this host does not give (fs.suid_dumpable is {rule})",
                code="dumpable-by-root",
                pid=tid,
                resource="dumpable",
                hint="sysctl fs.suid_dumpable=2 during the restore",
            )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it, if it is one of the two that can be set."""
    if state.dumpable != _BY_ROOT:
        on.call(nr.prctl, PR_SET_DUMPABLE, state.dumpable, why="dumpable")
