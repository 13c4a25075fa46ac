"""Regular files that have a name: opened again by path, contents stay on disk.

The file itself is not part of an image. At restore it must be there, and must be what the program knows: of the same
size and modification time; a file that is only appended to may have grown meanwhile.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from replant.abi import fcntl
from replant.model.frozen import Frozen
from replant.resources.shared import compare, locks
from replant.resources.shared.opening import named, open_path
from replant.resources.shared.refusal import hinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = True


class State(Frozen):
    """Name and identity (stat(2)); ``size`` and ``mtime_ns`` tell at restore whether it is unchanged."""

    path: str
    dev: int
    ino: int
    mode: int
    size: int
    mtime_ns: int
    locks: tuple[locks.Lock, ...] = ()


def claims(f: FileFacts) -> bool:
    """A regular file with at least one link, whether or not its name is still the one it was opened by."""
    return S_ISREG(f.mode) and f.nlink > 0


def read(f: FileFacts, dump: DumpSide) -> State:
    """Name and identity. :raises Blocker: the name stands for another file now, or a lock is held."""
    path = named(f)
    mtime = os.stat(path).st_mtime_ns
    return State(path, f.dev, f.ino, f.mode, f.size, mtime, locks.read(f, dump))


def check(file: File) -> None:
    """:raises Blocker: the file is gone, or changed in a way that the program would notice."""
    state = _state(file)
    try:
        found = os.stat(state.path)
    except OSError as error:
        raise hinder(file, state.path, error.strerror or "gone", "put the file back", "file-gone") from None
    if not S_ISREG(found.st_mode):
        raise hinder(file, state.path, "it was a regular file and is none now", "put the file back")
    if _only_appended(file.flags) and found.st_size >= state.size:
        return
    if found.st_size != state.size:
        why = f"it had {state.size} bytes when the image was made and has {found.st_size} now"
        raise hinder(file, state.path, why, "put the file back as it was")
    if found.st_mtime_ns != state.mtime_ns:
        why = "it was modified after the image was made"
        raise hinder(file, state.path, why, "put the file back as it was, its modification time included")


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def _only_appended(flags: int) -> bool:
    return bool(flags & fcntl.O_APPEND) and flags & fcntl.O_ACCMODE == fcntl.O_WRONLY


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the path; nothing is ever created or truncated."""
    return [open_path(on, _state(file).path, file.flags, "regular file") for file in files]


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the locks of the description again."""
    locks.take(_state(file).locks, fd, on)


def settle(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the record locks of the process again, when nothing closes a descriptor of the file any more."""
    locks.take_of_process(_state(file).locks, fd, on)


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Identity and locks; size and time change as the program and others write."""
    return compare.fields(before, after, ("size", "mtime_ns"))
