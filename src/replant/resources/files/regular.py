"""Regular files that have a name: opened again by path, contents stay on disk.

If the name by which a file was opened is gone while other links are left, one of those is looked for around it.

The file itself is not part of an image. At restore it must be there, and must be what the program knows: of the same
size and modification time; a file that is only appended to may have grown meanwhile. Programs and libraries are told
apart by their build ID, if they have one: that must be the same, and then the time does not matter.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from replant.abi import fcntl
from replant.model.frozen import Frozen
from replant.resources.shared import compare, locks
from replant.resources.shared.build_id import build_id
from replant.resources.shared.opening import by_last_name, named
from replant.resources.shared.refusal import hinder
from replant.resources.shared.search import last_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = True


class State(Frozen):
    """Name and identity (stat(2)); ``size`` and ``mtime_ns`` tell at restore whether it is unchanged.

    ``shown``: the name by which it was opened, if that is gone and ``path`` another link. ``build_id``: that of a
    program or library that is mapped, if it has one.
    """

    path: str
    dev: int
    ino: int
    mode: int
    size: int
    mtime_ns: int
    shown: str = ""
    build_id: bytes = b""
    locks: tuple[locks.Lock, ...] = ()


def claims(f: FileFacts) -> bool:
    """A regular file with at least one link, whether or not its name is still the one it was opened by."""
    return S_ISREG(f.mode) and f.nlink > 0


def read(f: FileFacts, dump: DumpSide) -> State:
    """Name and identity. :raises Blocker: the name stands for another file now, or a lock is held."""
    path = named(f)
    st = os.stat(path)
    program = build_id(path) if f.fd < 0 else b""
    shown = last_name(f) if path != f.link else ""
    return State(path, f.dev, f.ino, f.mode, f.size, st.st_mtime_ns, shown, program, locks.read(f, dump))


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
    if state.build_id:
        if build_id(state.path) != state.build_id:
            why = f"it is not the program with the build ID {state.build_id.hex()}"
            raise hinder(file, state.path, why, "install the version that was running")
    elif found.st_mtime_ns != state.mtime_ns:
        why = "it was modified after the image was made"
        raise hinder(file, state.path, why, "put the file back as it was, its modification time included")


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def _only_appended(flags: int) -> bool:
    return bool(flags & fcntl.O_APPEND) and flags & fcntl.O_ACCMODE == fcntl.O_WRONLY


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the path; nothing is ever created or truncated."""
    return [
        by_last_name(on, s.path, s.shown, f.flags, "regular file")
        for f, s in zip(files, map(_state, files), strict=True)
    ]


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the locks of the description again."""
    locks.take(_state(file).locks, fd, on)


def settle_in(file: File, pid: int, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the record locks of the process again, when nothing closes a descriptor of the file any more."""
    locks.take_last(_state(file).locks, pid, fd, on)


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Identity and locks; size and time change as the program and others write."""
    return compare.fields(before, after, ("size", "mtime_ns"))
