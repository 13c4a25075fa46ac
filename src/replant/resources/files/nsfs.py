"""Links to namespaces, opened as files (namespaces(7)): those that the tree is in; any other one is refused.

They are opened by their holder, as the restorer may be in other namespaces.
"""

from __future__ import annotations

import os

from replant.model.frozen import Frozen
from replant.resources.shared import locks
from replant.resources.shared.opening import open_path
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False


class State(Frozen):
    """``name`` of a link in /proc/PID/ns; ``by``: the process that is to open its own."""

    name: str
    by: int


def claims(f: FileFacts) -> bool:
    """``net:[4026531833]`` and the like."""
    return ":[" in f.link and not f.link.startswith("/")


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: no process of the tree is in it."""
    locks.none(f)
    name = f.link.partition(":")[0]
    if os.stat(f"/proc/{f.pid}/ns/{name}").st_ino != f.ino:
        why = f"it holds a namespace ({name}) that its process is not in"
        raise refuse(f, why, "let the program close it", "namespace")
    return State(name, f.pid)


def maker(files: Sequence[File]) -> int:
    """The holder."""
    state = files[0].state
    assert isinstance(state, State)
    return state.by


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the own one."""
    made = []
    for file in files:
        assert isinstance(file.state, State)
        made.append(open_path(on, f"/proc/self/ns/{file.state.name}", file.flags, "namespace"))
    return made
