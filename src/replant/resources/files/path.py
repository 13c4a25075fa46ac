"""Descriptors of O_PATH: a place in the tree of files, of any type, that was never really opened."""

from __future__ import annotations

import os
from stat import S_IFMT, S_ISLNK

from replant.abi import fcntl
from replant.model.frozen import Frozen
from replant.resources.shared.opening import named, open_path
from replant.resources.shared.refusal import hinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False


class State(Frozen):
    """Path and identity of what the descriptor stands for; ``target`` is that of a symbolic link."""

    path: str
    dev: int
    ino: int
    mode: int
    target: str


def claims(f: FileFacts) -> bool:
    """Whatever it stands for."""
    return bool(f.flags & fcntl.O_PATH)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Name and identity. :raises Blocker: the name is gone or stands for another file now."""
    path = named(f)
    return State(path, f.dev, f.ino, f.mode, os.readlink(path) if S_ISLNK(f.mode) else "")


def check(file: File) -> None:
    """:raises Blocker: it is gone, or of another type, or a link to elsewhere."""
    state = _state(file)
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
    return [open_path(on, _state(file).path, file.flags, "place in the tree of files") for file in files]
