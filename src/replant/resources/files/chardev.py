"""Character devices without any state: null, zero, full, random, urandom. Every other is refused by number."""

from __future__ import annotations

import os
from stat import S_ISCHR

from replant.model.frozen import Frozen
from replant.resources.shared import locks
from replant.resources.shared.opening import open_path
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
#: Linux allocated devices, ``Documentation/admin-guide/devices.txt``: major 1.
_HARMLESS = {
    os.makedev(1, 3): "null",
    os.makedev(1, 5): "zero",
    os.makedev(1, 7): "full",
    os.makedev(1, 8): "random",
    os.makedev(1, 9): "urandom",
}


class State(Frozen):
    """The node's path, and the device number behind it."""

    path: str
    rdev: int


def claims(f: FileFacts) -> bool:
    """Any character device, so that a refusal can say which."""
    return S_ISCHR(f.mode)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Path and number. A node that was removed since is replaced by the common one in /dev.

    :raises Blocker: for any other device.
    """
    locks.none(f)
    name = _HARMLESS.get(f.rdev)
    if name is None:
        number = f"{os.major(f.rdev)}:{os.minor(f.rdev)}"
        raise refuse(
            f, f"character device {number} has state that cannot be read", "close it before the dump", "device"
        )
    return State(f.link if _is_node(f.link, f.rdev) else f"/dev/{name}", f.rdev)


def _is_node(path: str, rdev: int) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return S_ISCHR(found.st_mode) and found.st_rdev == rdev


def check(file: File) -> None:
    """:raises Blocker: the node is gone or stands for another device."""
    state = file.state
    assert isinstance(state, State)
    if not _is_node(state.path, state.rdev):
        name = _HARMLESS.get(state.rdev, "")
        raise hinder(file, state.path, f"it is not the device {name or state.rdev}", "make the node again", "device")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the node."""
    made = []
    for file in files:
        assert isinstance(file.state, State)
        made.append(open_path(on, file.state.path, file.flags, "device"))
    return made
