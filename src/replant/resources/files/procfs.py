"""Files and directories of /proc: of processes of the tree, of others, and of the whole system.

Those of a process of the tree are opened by their holder as soon as all processes exist. Those of a process that is
dead are opened while a stand-in with its number lives, and so are dead as well. Nobody can enter a directory of the
dead: the restorer enters it in time, and whoever cannot enter his own has inherited it. The offset is put on last of
all, since it is by now that the contents are the right ones. Files of threads other than the first are refused.
"""

from __future__ import annotations

import os
from errno import EINVAL, EIO, ENOENT, ESRCH
from stat import S_ISDIR, S_ISREG

from replant.abi import fcntl, poll, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import locks
from replant.resources.shared.opening import open_path
from replant.resources.shared.refusal import hinder, refuse
from replant.resources.shared.search import last_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False  # not before `finish`
_NO_OFFSET = (EINVAL, EIO, ENOENT, ESRCH)
_PROC = "/proc/"


class State(Frozen):
    """``pid`` is the process that ``path`` is about, 0 for none; ``by`` a process of the tree that is to open it."""

    path: str
    pid: int
    by: int
    dead: bool


def claims(f: FileFacts) -> bool:
    """What the registry takes for a file of the /proc that we see."""
    return f.link.startswith(_PROC) and (S_ISREG(f.mode) or S_ISDIR(f.mode))


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: it is about a thread, or holds a trigger that cannot be read."""
    locks.none(f)
    path = last_name(f)
    words = path.split("/")[2:]
    pid = int(words[0]) if words[0].isdigit() else 0
    dead = not _is(f, path)
    if pid and not dead and len(words) > 2 and words[1] == "task" and words[2] != words[0]:
        raise refuse(f, f"it is about thread {words[2]}", "let the program close it", "thread-file")
    if words[0] == "pressure" and f.fd >= 0 and f.flags & fcntl.O_ACCMODE and not poll.poll_now(f.grab(), 0):
        raise refuse(f, "a trigger is set on it", "let the program close it", "pressure-trigger")
    if dead and f.where == "root":
        raise refuse(
            f, f"it is a directory of process {pid}, which is gone", "let the program leave it", "dead-process"
        )
    return State(path, pid, f.pid if pid in dump.pids() and not dead else 0, dead)


def _is(f: FileFacts, path: str) -> bool:
    """Whether the path still stands for the file: a process that is gone takes its names with it."""
    try:
        return os.stat(path).st_ino == f.ino
    except OSError:
        return False


def group(file: File) -> object:
    """What is about one dead process is opened while one stand-in lives."""
    state = _state(file)
    return (state.pid, -1 if state.dead else file.number)


def maker(files: Sequence[File]) -> int:
    """Who opens it: a process of the tree where it is about one."""
    return _state(files[0]).by


def check(file: File) -> None:
    """:raises Blocker: it is about a process outside of the tree that is not there, or the host has no such file."""
    state = _state(file)
    if not state.by and not state.dead and not os.path.lexists(state.path):
        raise hinder(file, state.path, "there is no such file here", "restore where there is", "file-gone")


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the path, which is there by now; or that of a stand-in."""
    state = _state(files[0])
    if not state.dead:
        return [open_path(on, _state(file).path, file.flags, "file of /proc") for file in files]
    taken = os.path.exists(f"{_PROC}{state.pid}")
    stand_in = restore.stand_in(on, 0 if taken else state.pid)
    made = [open_path(stand_in, _own(_state(f).path), f.flags, "file of a process that is gone") for f in files]
    for file, fd in zip(files, made, strict=True):
        if restore.holder(file.number) is None:
            stand_in.call(x86_64.fchdir, fd, why="a current directory, to be inherited")
    return made


def _own(path: str) -> str:
    """The same file of whoever opens it."""
    words = path.split("/")[2:]
    if len(words) > 2 and words[1] == "task":
        return _PROC + "/".join(["thread-self", *words[3:]])
    return _PROC + "/".join(["self", *words[1:]])


def finish(file: File, on: Track, restore: RestoreSide) -> None:
    """The offset: going there reads the contents up to it, so what was read of a stub is forgotten first."""
    if file.pos and not file.flags & fcntl.O_PATH:
        fd = restore.fd(file.number)
        on.call(x86_64.lseek, fd, 0, fcntl.SEEK_SET, why="to the beginning", ok=_NO_OFFSET)
        on.call(x86_64.lseek, fd, file.pos, fcntl.SEEK_SET, why="offset", ok=_NO_OFFSET)
