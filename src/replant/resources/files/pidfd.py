"""pidfd_open(2) of processes of the tree, and of processes that are gone.

A pidfd can be opened only when its process exists: its holder does, as soon as the whole tree is there. For one that is
gone a stand-in comes into being, and ends as that did. One of a thread other than the first is refused.
"""

from __future__ import annotations

import os
import struct

from replant.abi import fcntl, libc, pidfd, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False


class State(Frozen):
    """The process that it stands for, and ``by``, who is to open it.

    ``pid`` 0: it is gone, with that wait ``status`` as far as the kernel tells; ``ino`` is the same for all pidfds of
    one process (since Linux 6.9).
    """

    pid: int
    by: int
    status: int
    ino: int


def claims(f: FileFacts) -> bool:
    """The kernel names it ``[pidfd]``."""
    return f.link == "anon_inode:[pidfd]"


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: the process is outside of the tree, or it is of a thread."""
    pid = int(f.info["Pid"])
    if pid <= 0:
        return State(0, 0, _status(f.grab()), f.ino)
    if pid not in dump.pids():
        if f.flags & fcntl.O_EXCL and os.path.exists(f"/proc/{f.pid}/task/{pid}"):
            raise refuse(f, f"it stands for thread {pid} (PIDFD_THREAD)", "close it before the dump")
        raise refuse(f, f"its process {pid} is outside of the tree", "dump a tree with it", "outside")
    return State(pid, f.pid, 0, f.ino)


def _status(fd: int) -> int:
    """PIDFD_INFO_EXIT, since Linux 6.15; 0 where the kernel does not know it, or not any more."""
    room = bytearray(pidfd.INFO_SIZE)
    struct.pack_into("=Q", room, 0, pidfd.PIDFD_INFO_EXIT)
    if libc.syscall_raw(x86_64.ioctl, fd, pidfd.PIDFD_GET_INFO, room) < 0:
        return 0
    told = struct.unpack_from("=Q", room)[0] & pidfd.PIDFD_INFO_EXIT
    status: int = struct.unpack_from("=i", room, pidfd.EXIT_CODE_AT)[0]
    return status & ~_CORE if told else 0


_CORE = 0x80


def group(file: File) -> object:
    """Those of one dead process are opened while one stand-in lives."""
    state = _state(file)
    return (state.ino, 0 if not state.pid else file.number)


def maker(files: Sequence[File]) -> int:
    """Its holder; the restorer for one of a process that is gone."""
    return _state(files[0]).by


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open them by number; of the dead by that of a stand-in."""
    if _state(files[0]).pid:
        return [_open(on, _state(file).pid, file.flags) for file in files]
    stand_in = restore.stand_in(on, 0, status=_state(files[0]).status)
    own = stand_in.call(x86_64.getpid, why="who will be gone")
    return [_open(stand_in, own, file.flags) for file in files]


def _open(on: Track, pid: Slot | int, flags: int) -> Slot:
    return on.call(x86_64.pidfd_open, pid, flags & (fcntl.O_NONBLOCK | fcntl.O_EXCL), why=f"pidfd of process {pid}")


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """The process, and how it ended; the inode is another."""
    return compare.fields(before, after, ("ino", "by"))
