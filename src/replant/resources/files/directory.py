"""Open directories, removed ones too.

A removed directory is made again under its old name and removed at once; all removed ones are made together, so that
those that stood in each other do so again. If the name is taken, another one beside it does.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISDIR

from replant.abi import fcntl, libc, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import filesystem, locks
from replant.resources.shared.opening import named, open_path
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = True  # a half-read directory goes on behind its offset
_DELETED = " (deleted)"


class State(Frozen):
    """Path and identity; mode and owner matter only for a removed one.

    ``generated``: it is of a filesystem that makes it anew each time (control groups): its number means nothing.
    """

    path: str
    dev: int
    ino: int
    mode: int
    uid: int
    gid: int
    removed: bool
    locks: tuple[locks.Lock, ...] = ()
    generated: bool = False


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
        generated = filesystem.magic(path) in filesystem.GENERATED
        return State(path, f.dev, f.ino, f.mode, 0, 0, removed=False, locks=held, generated=generated)
    found = os.fstat(f.grab())
    return State(path, f.dev, f.ino, f.mode, found.st_uid, found.st_gid, removed=True, locks=held)


def _has_notice(f: FileFacts) -> bool:
    """F_NOTIFY of fcntl(2) is shown nowhere, but makes the caller the owner of the directory's signals."""
    owner = bytearray(8)  # struct f_owner_ex
    if f.fd >= 0 and not f.flags & fcntl.O_PATH:
        libc.syscall(x86_64.fcntl, f.grab(), fcntl.F_GETOWN_EX, owner)
    return any(owner)


def group(file: File) -> object:
    """All removed directories are made together."""
    state = _state(file)
    return "removed" if state.removed else (state.dev, state.ino)


def check(file: File) -> None:
    """:raises Blocker: no directory is there, or none can be made for a moment where a removed one was."""
    state = _state(file)
    if state.removed:
        if os.statvfs(_existing(state.path)).f_flag & os.ST_RDONLY:
            why = "a removed directory is made again for a moment, and the mount is read-only"
            raise hinder(file, state.path, why, "mount it for writing", "read-only")
    elif not os.path.isdir(state.path):
        raise hinder(file, state.path, "there is no such directory", "make it again", "file-gone")


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the path; removed ones while they are there for a moment."""
    if not _state(files[0]).removed:
        return [open_path(on, _state(f).path, f.flags, "directory") for f in files]
    opened: dict[int, Slot] = {}
    for layer in _layers({(s.dev, s.ino): s for s in map(_state, files)}.values()):
        paths = sorted({path for each in layer for path in _missing(each)})
        for path in paths:
            _mkdir(path, on)
        for path, state in layer.items():
            for file in files:
                if (_state(file).dev, _state(file).ino) == (state.dev, state.ino):
                    opened[file.number] = open_path(on, path, file.flags, "directory, there for a moment")
            name = fcntl.cstring(path)
            on.call(x86_64.fchownat, fcntl.AT_FDCWD, name, state.uid, state.gid, 0, why="its owner")
            on.call(x86_64.fchmodat, fcntl.AT_FDCWD, name, S_IMODE(state.mode), why="its mode")
        for path in reversed(paths):
            on.call(x86_64.unlinkat, fcntl.AT_FDCWD, fcntl.cstring(path), fcntl.AT_REMOVEDIR, why="removed as before")
    return [opened[file.number] for file in files]


def _layers(states: Iterable[State]) -> list[dict[str, State]]:
    """Removed directories by the path at which they are made; those of one name one after the other."""
    layers: list[dict[str, State]] = []
    for state in states:
        path = state.path
        if os.path.lexists(path):
            path = f"{_existing(os.path.dirname(path))}/.replant-{state.ino}"
        layer = next((each for each in layers if path not in each), None)
        if layer is None:
            layers.append(layer := {})
        layer[path] = state
    return layers


def _existing(path: str) -> str:
    """The directory itself, or the nearest one above it that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _missing(path: str) -> list[str]:
    """The path, and each directory above it that does not exist."""
    found = [path]
    while not os.path.isdir(above := os.path.dirname(found[-1])):
        found.append(above)
    return found


def _mkdir(path: str, on: Track) -> None:
    name = fcntl.cstring(path)
    made = on.call(x86_64.mkdirat, fcntl.AT_FDCWD, name, 0o700, why="removed directory")
    on.undo(made, x86_64.unlinkat, fcntl.AT_FDCWD, name, fcntl.AT_REMOVEDIR)


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the locks again: of the whole description, as nothing else can be locked in a directory."""
    locks.take(_state(file).locks, fd, on)


def same(before: State, after: State, elapsed: int) -> list[str]:
    """Path and kind of being there; a removed directory is another inode, and its name is only a memory."""
    old, new = _lasting(before), _lasting(after)
    return [] if old == new else [f"{old!r} -> {new!r}"]


def _lasting(state: State) -> State:
    if state.removed:
        return state._replace(path="", dev=0, ino=0)
    return state._replace(dev=0, ino=0) if state.generated else state
