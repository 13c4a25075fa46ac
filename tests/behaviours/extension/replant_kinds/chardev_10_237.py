"""What an extension looks like: /dev/loop-control, which has no state to speak of, is opened again."""

from __future__ import annotations

from collections.abc import Sequence

from replant.abi.call import Slot, Track
from replant.model.frozen import Frozen
from replant.model.tree import File
from replant.resources.protocol import DumpSide, FileFacts, RestoreSide
from replant.resources.shared.opening import named, open_path

VERSION = 1
SEEKABLE = False


class State(Frozen):
    """Where the node is."""

    path: str


def claims(f: FileFacts) -> bool:
    """What the registry asks for is this device."""
    return True


def read(f: FileFacts, dump: DumpSide) -> State:
    """Its name."""
    return State(named(f))


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open it."""
    made = []
    for file in files:
        assert isinstance(file.state, State)
        made.append(open_path(on, file.state.path, file.flags, "a device that an extension knows"))
    return made
