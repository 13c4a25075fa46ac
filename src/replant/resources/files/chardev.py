"""Character devices without any state: null, zero, full, random, urandom. Every other is refused by name.

A node that has been deleted is made again under its name for a moment; where that cannot be, the one in /dev does.
"""

from __future__ import annotations

import os
from stat import S_IFCHR, S_IMODE, S_ISCHR

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, locks
from replant.resources.shared.opening import is_free, open_path
from replant.resources.shared.refusal import hinder, refuse
from replant.resources.shared.search import last_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    """The node's path, and the device number behind it; what it was like, if it was ``removed``."""

    path: str
    rdev: int
    dev: int = 0
    ino: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    removed: bool = False


def claims(f: FileFacts) -> bool:
    """Any character device, so that a refusal can say which."""
    return S_ISCHR(f.mode)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Path and number. :raises Blocker: for a device that is none of the harmless ones."""
    locks.none(f)
    name = _HARMLESS.get(f.rdev)
    if name is None:
        why = f"character device {_called(f.rdev)} has state that cannot be read"
        raise refuse(f, why, "let the program close it before the dump, and open it again afterwards", "device")
    if f.nlink or not f.link.startswith("/"):
        return State(f.link if _is_node(f.link, f.rdev) else f"/dev/{name}", f.rdev)
    st = os.fstat(f.grab())
    return State(last_name(f), f.rdev, st.st_dev, st.st_ino, st.st_mode, st.st_uid, st.st_gid, removed=True)


def _called(rdev: int) -> str:
    """Number and name of a device, as sysfs has it."""
    number = f"{os.major(rdev)}:{os.minor(rdev)}"
    try:
        with open(f"/sys/dev/char/{number}/uevent") as lines:
            words = dict([line.rstrip("\n").split("=", 1) for line in lines])
    except OSError:
        return number
    return f"{number} ({words['DEVNAME']})" if "DEVNAME" in words else number


def group(file: File) -> object:
    """Descriptions of one deleted node are made together."""
    state = _state(file)
    return (state.dev, state.ino, file.number if not state.removed else -1)


def _is_node(path: str, rdev: int) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return S_ISCHR(found.st_mode) and found.st_rdev == rdev


def check(file: File) -> None:
    """:raises Blocker: the node is gone or stands for another device."""
    state = _state(file)
    if not state.removed and not _is_node(state.path, state.rdev):
        name = _HARMLESS.get(state.rdev, "")
        raise hinder(file, state.path, f"it is not the device {name or state.rdev}", "make the node again", "device")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the node; a deleted one while it is there for a moment."""
    state = _state(files[0])
    if not state.removed:
        return [open_path(on, _state(file).path, file.flags, "device") for file in files]
    if not is_free(state.path) or os.statvfs(os.path.dirname(state.path)).f_flag & (os.ST_NODEV | os.ST_RDONLY):
        return [open_path(on, f"/dev/{_HARMLESS[state.rdev]}", file.flags, "device") for file in files]
    at, path = fcntl.AT_FDCWD, fcntl.cstring(state.path)
    made = on.call(x86_64.mknodat, at, path, S_IFCHR | 0o600, state.rdev, why="deleted node")
    on.undo(made, x86_64.unlinkat, at, path, 0)
    on.call(x86_64.fchownat, at, path, state.uid, state.gid, 0, why="its owner")
    on.call(x86_64.fchmodat, at, path, S_IMODE(state.mode), why="its mode")
    opened = [open_path(on, state.path, file.flags, "device") for file in files]
    on.call(x86_64.unlinkat, at, path, 0, why="deleted as before")
    return opened


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """The node may be another inode."""
    return compare.fields(before, after, ("dev", "ino"))
