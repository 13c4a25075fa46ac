"""eventfd(2): the counter and its mode, from fdinfo."""

from __future__ import annotations

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_EFD_SEMAPHORE = 1
_OVERFLOWED = 2**64 - 1
_INITIAL_MAX = 2**32 - 1


class State(Frozen):
    """``value`` is what the next read takes; a semaphore is taken down by one at a time."""

    value: int
    semaphore: bool


def claims(f: FileFacts) -> bool:
    """The kernel names it ``[eventfd]``."""
    return f.link == "anon_inode:[eventfd]"


def read(f: FileFacts, dump: DumpSide) -> State:
    """Counter and mode. :raises Blocker: the counter overflowed, which no write can bring about."""
    value = int(f.info["eventfd-count"], 16)
    if value == _OVERFLOWED:
        raise refuse(f, "its counter has overflowed", "let the program read it")
    return State(value, f.info.get("eventfd-semaphore", "0").strip() == "1")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """eventfd2, whose first value has 32 bits; a larger one is written."""
    made = []
    for file in files:
        state = file.state
        assert isinstance(state, State)
        small = state.value if state.value <= _INITIAL_MAX else 0
        flags = (_EFD_SEMAPHORE if state.semaphore else 0) | file.flags & fcntl.O_NONBLOCK
        fd = on.call(x86_64.eventfd2, small, flags, why="eventfd")
        if small != state.value:
            on.call(x86_64.write, fd, state.value.to_bytes(8, "little"), 8, why="counter")
        made.append(fd)
    return made
