"""Open directories, removed ones too.

A removed directory is made again under its old name and removed at once, which is possible if the name is free.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISDIR

from replant.abi import fcntl, libc, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import locks
from replant.resources.shared.opening import named, open_path
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = True  # a half-read directory goes on behind its offset
_DELETED = " (deleted)"


class State(Frozen):
    """Path and identity; mode and owner matter only for a removed one."""

    path: str
    dev: int
    ino: int
    mode: int
    uid: int
    gid: int
    removed: bool
    locks: tuple[locks.Lock, ...] = ()


def claims(f: FileFacts) -> bool:
    """Any directory."""
    return S_ISDIR(f.mode)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Where it is, or was. :raises Blocker: its name is another's now, a lock is held, or F_NOTIFY is in use."""
    if _has_notice(f):
        raise refuse(f, "a signal tells of changes in it (F_NOTIFY)", "let the program close it", "directory-notice")
    held = locks.read(f, dump)
    removed = f.link.endswith(_DELETED) and not os.path.exists(f.link)
    path = f.link.removesuffix(_DELETED) if removed else named(f)
    if not removed:
        return State(path, f.dev, f.ino, f.mode, 0, 0, removed=False, locks=held)
    found = os.fstat(f.grab())
    return State(path, f.dev, f.ino, f.mode, found.st_uid, found.st_gid, removed=True, locks=held)


def _has_notice(f: FileFacts) -> bool:
    """F_NOTIFY of fcntl(2) is shown nowhere, but makes the caller the owner of the directory's signals."""
    owner = bytearray(8)  # struct f_owner_ex
    if f.fd >= 0:
        libc.syscall(x86_64.fcntl, f.grab(), fcntl.F_GETOWN_EX, owner)
    return any(owner)


def group(file: File) -> object:
    """Descriptions of one removed directory are made together."""
    state = _state(file)
    return (state.dev, state.ino)


def check(file: File) -> None:
    """:raises Blocker: no directory is there, or the name of a removed one is taken."""
    state = _state(file)
    if state.removed:
        if os.path.lexists(state.path):
            raise hinder(file, state.path, "a removed directory needs its old name for a moment, and it is taken")
        if not os.path.isdir(os.path.dirname(state.path)):
            raise hinder(file, state.path, "the directory above the removed one is gone", "make it again")
    elif not os.path.isdir(state.path):
        raise hinder(file, state.path, "there is no such directory", "make it again", "file-gone")


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the path; for a removed one between mkdir and rmdir, by its name."""
    state = _state(files[0])
    path = fcntl.cstring(state.path)
    if state.removed:
        made = on.call(x86_64.mkdirat, fcntl.AT_FDCWD, path, 0o700, why="removed directory")
        on.undo(made, x86_64.unlinkat, fcntl.AT_FDCWD, path, fcntl.AT_REMOVEDIR)
    opened = [open_path(on, state.path, f.flags, "directory") for f in files]
    if state.removed:
        on.call(x86_64.fchownat, fcntl.AT_FDCWD, path, state.uid, state.gid, 0, why="its owner")
        on.call(x86_64.fchmodat, fcntl.AT_FDCWD, path, S_IMODE(state.mode), why="its mode")
        on.call(x86_64.unlinkat, fcntl.AT_FDCWD, path, fcntl.AT_REMOVEDIR, why="removed as before")
    return opened


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the locks again: of the whole description, as nothing else can be locked in a directory."""
    locks.take(_state(file).locks, fd, on)


def same(before: State, after: State, elapsed: int) -> list[str]:
    """Path and kind of being there; a removed directory is another inode after restore."""
    old = before if not before.removed else before._replace(dev=0, ino=0)
    new = after if not after.removed else after._replace(dev=0, ino=0)
    return [] if old == new else [f"{old!r} -> {new!r}"]
