"""pidfd_open(2) of processes of the tree, each held by one descriptor.

A pidfd can be opened only when its process exists, which is after the descriptors of the tree were opened: until then
another file stands at its number. One that several descriptors share, or of a process that is gone, is refused.
"""

from __future__ import annotations

import os

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.opening import open_path
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_LINK = "anon_inode:[pidfd]"


class State(Frozen):
    """The process that it stands for."""

    pid: int


def claims(f: FileFacts) -> bool:
    """The kernel names it ``[pidfd]``."""
    return f.link == _LINK


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: the process is outside of the tree or gone, it is a thread, or others share the description."""
    pid = int(f.info["Pid"])
    if f.flags & fcntl.O_EXCL:
        raise refuse(f, "it stands for a thread (PIDFD_THREAD)", "close it before the dump")
    if pid <= 0:
        raise refuse(f, "its process is gone", "let the program close it")
    if pid not in dump.pids():
        raise refuse(f, f"its process {pid} is outside of the tree", "dump a tree with it", "outside")
    for other, fd in _pidfds(dump):
        if (other, fd) != (f.pid, f.fd) and f.number_of(other, fd) == f.number:
            raise refuse(f, f"descriptor {fd} of process {other} shares it", "let only one descriptor hold it")
    return State(pid)


def _pidfds(dump: DumpSide) -> Iterator[tuple[int, int]]:
    for pid in sorted(dump.pids()):
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)
        except FileNotFoundError:  # a zombie has none
            continue
        for name in names:
            try:
                if os.readlink(f"{folder}/{name}") == _LINK:
                    yield pid, int(name)
            except FileNotFoundError:
                continue


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """What stands at its number until the process exists."""
    return [open_path(on, "/dev/null", fcntl.O_RDWR, "place of a pidfd") for _ in files]


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Open it, and put it in its place; the close-on-exec flag stays."""
    assert isinstance(file.state, State)
    cloexec = on.call(x86_64.fcntl, fd, fcntl.F_GETFD)
    made = on.call(x86_64.pidfd_open, file.state.pid, file.flags & fcntl.O_NONBLOCK, why=f"process {file.state.pid}")
    on.call(x86_64.dup3, made, fd, fcntl.O_CLOEXEC, why="in its place")
    on.call(x86_64.fcntl, fd, fcntl.F_SETFD, cloexec)
    on.call(x86_64.close, made)
