"""Descriptors of O_PATH: a place in the tree of files, of any type, that was never really opened.

A symbolic link, FIFO, socket or device node that has been deleted is made again under its name for a moment. Of what
has no name at all (a pipe, a memory file) the tree must have another descriptor, through which it is opened.
"""

from __future__ import annotations

import os
from stat import S_IFMT, S_IMODE, S_ISLNK, S_ISSOCK

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.opening import is_free, named, open_path, reopen
from replant.resources.shared.refusal import hinder, refuse
from replant.resources.shared.search import last_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
USES = {"make": ("names", "descriptions")}  # it is opened through another one, where there is no name
GIVES: dict[str, tuple[str, ...]] = {"make": ()}


class State(Frozen):
    """Path and identity of what the descriptor stands for; ``target`` is that of a symbolic link.

    Owner and device number are needed where the name was ``removed``; ``through``: the number of another description
    of the same thing, -1 for none.
    """

    path: str
    dev: int
    ino: int
    mode: int
    target: str
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    removed: bool = False
    through: int = -1


def claims(f: FileFacts) -> bool:
    """Whatever it stands for."""
    return bool(f.flags & fcntl.O_PATH)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Name and identity. :raises Blocker: it has no name, and nothing else in the tree leads to it."""
    if not f.link.startswith("/") or f.link.startswith("/memfd:"):
        return State(f.link, f.dev, f.ino, f.mode, "", through=_through(f, dump))
    fd = f.grab()
    target = os.readlink("", dir_fd=fd) if S_ISLNK(f.mode) else ""
    if f.nlink:
        return State(named(f), f.dev, f.ino, f.mode, target)
    st = os.fstat(fd)
    return State(last_name(f), f.dev, f.ino, f.mode, target, st.st_uid, st.st_gid, st.st_rdev, removed=True)


def _through(f: FileFacts, dump: DumpSide) -> int:
    number = dump.file_of(f.dev, f.ino)
    if number is None or S_ISSOCK(f.mode):
        raise refuse(f, "it has no name, and no other descriptor of the tree leads to it", "let the program close it")
    return number


def group(file: File) -> object:
    """Descriptions of one deleted thing are made together."""
    state = _state(file)
    return (state.dev, state.ino)


def check(file: File) -> None:
    """:raises Blocker: it is gone, or of another type, or a link to elsewhere; or its name is taken."""
    state = _state(file)
    if state.through >= 0:
        return
    if state.removed:
        if not is_free(state.path):
            raise hinder(file, state.path, "what was deleted needs its old name for a moment, and it cannot have it")
        return
    try:
        found = os.lstat(state.path)
        target = os.readlink(state.path) if S_ISLNK(found.st_mode) else ""
    except OSError as error:
        raise hinder(file, state.path, error.strerror or "gone", "put it back", "file-gone") from None
    if S_IFMT(found.st_mode) != S_IFMT(state.mode) or target != state.target:
        raise hinder(file, state.path, "it is something else now", "put it back")


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the path; of a symbolic link the link itself."""
    state, why = _state(files[0]), "place in the tree of files"
    if state.through >= 0:
        return [reopen(on, restore.fd(state.through), file.flags, why) for file in files]
    if state.removed:
        _create(state, on)
    opened = [open_path(on, state.path, file.flags, why) for file in files]
    if state.removed:
        on.call(x86_64.unlinkat, fcntl.AT_FDCWD, fcntl.cstring(state.path), 0, why="deleted as before")
    return opened


def _create(state: State, on: Track) -> None:
    at, path = fcntl.AT_FDCWD, fcntl.cstring(state.path)
    if S_ISLNK(state.mode):
        made = on.call(x86_64.symlinkat, fcntl.cstring(state.target), at, path, why="deleted symbolic link")
    else:
        made = on.call(x86_64.mknodat, at, path, S_IFMT(state.mode) | 0o600, state.rdev, why="deleted node")
    on.undo(made, x86_64.unlinkat, at, path, 0)
    on.call(x86_64.fchownat, at, path, state.uid, state.gid, fcntl.AT_SYMLINK_NOFOLLOW, why="its owner")
    if not S_ISLNK(state.mode):
        on.call(x86_64.fchmodat, at, path, S_IMODE(state.mode), why="its mode")


def same(before: State, after: State, elapsed: int) -> list[str]:
    """All is equal, but that what was made again is another inode."""
    if before.removed and after.removed:
        before, after = before._replace(dev=0, ino=0), after._replace(dev=0, ino=0)
    if before.through >= 0 and after.through >= 0:
        before = after
    return [] if before == after else [f"{before!r} -> {after!r}"]
