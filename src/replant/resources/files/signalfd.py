"""signalfd(2): the mask, from fdinfo. The signals themselves are pending in tasks, not here."""

from __future__ import annotations

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False


class State(Frozen):
    """``mask``: bit N-1 stands for signal N."""

    mask: int


def claims(f: FileFacts) -> bool:
    """The kernel names it ``[signalfd]``."""
    return f.link == "anon_inode:[signalfd]"


def read(f: FileFacts, dump: DumpSide) -> State:
    """The mask, printed in hexadecimal."""
    return State(int(f.info["sigmask"], 16))


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """signalfd4 of a new descriptor."""
    made = []
    for file in files:
        assert isinstance(file.state, State)
        mask = file.state.mask.to_bytes(8, "little")
        made.append(on.call(x86_64.signalfd4, -1, mask, 8, file.flags & fcntl.O_NONBLOCK, why="signalfd"))
    return made
