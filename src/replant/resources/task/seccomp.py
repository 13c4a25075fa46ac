"""Seccomp, seccomp(2): a process that runs under strict mode or under filters is refused by name."""

from __future__ import annotations

from replant.errors import Blocker, Bug
from replant.model.frozen import Frozen

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
ASKS: tuple[Call, ...] = ()

_MODES = {1: "strict mode", 2: "filters"}


class State(Frozen):
    """There is none: what would be kept is refused."""


def read(t: TaskFacts, answers: Sequence[Answer]) -> None:
    """None: no seccomp.

    :raises Blocker: any mode of it.
    """
    mode = t.status.seccomp
    if mode:
        raise Blocker(
            f"it runs under seccomp ({_MODES.get(mode, mode)}), which is not supported",
            code="seccomp",
            pid=t.tid,
            resource="seccomp",
            hint="start the program without seccomp (systemd: SystemCallFilter=; containers: seccomp=unconfined)",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Never called: no State is ever kept."""
    raise Bug("a seccomp state in an image", pid=tid)
