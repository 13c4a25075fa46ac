"""Pipes: capacity, queued data and packets, and which ends are open, by how many descriptions.

Both ends have to be in the tree, or the other end has to be closed everywhere. A pipe that leads outside is refused,
unless the option ``outside`` says ``close`` (after restore it is as if the other side had closed it) or ``stdio``
(descriptors 0, 1 and 2 are those of whoever restores).
"""

from __future__ import annotations

import os
from stat import S_ISFIFO

from replant.abi import fcntl, x86_64
from replant.abi.call import Out
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.resources.shared import compare, locks, pairs, pipebuf
from replant.resources.shared.opening import path_of, reopen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_MODE = 0o600  # of a new one


class State(Frozen):
    """``ino`` joins the ends, ``size`` is the capacity in bytes.

    ``chunks`` is what is queued; it stands with the read ends, or with the write ends if there is no reader. ``other``:
    the opposite end is open somewhere. ``mode``, ``uid`` and ``gid`` matter to who opens it again. ``outside`` is the
    user's choice for pipes that lead outside, ``stdio`` the standard descriptor (0 to 2) that it was seen as, or -1.
    """

    ino: int
    size: int
    chunks: tuple[pipebuf.Chunk, ...]
    other: bool
    mode: int
    uid: int
    gid: int
    outside: str = ""
    stdio: int = -1


def claims(f: FileFacts) -> bool:
    """Made by pipe(2): without a name."""
    return S_ISFIFO(f.mode) and f.link.startswith("pipe:[")


def read(f: FileFacts, dump: DumpSide) -> State:
    """One end. :raises Blocker: it is larger than we may make one."""
    locks.none(f)
    other = pipebuf.other_end(f)
    pipebuf.no_notifications(f)
    size = pipebuf.capacity(f.grab())
    st = os.fstat(f.grab())
    chunks = pipebuf.peek(f, size) if pipebuf.reads(f.flags) or not other else ()
    mine = (st.st_mode & 0o7777, st.st_uid, st.st_gid)
    return State(f.ino, size, chunks, other, *mine, dump.policy("outside"), f.fd if 0 <= f.fd <= 2 else -1)


def group(file: File) -> object:
    """All ends of a pipe are made together."""
    return _state(file).ino


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def complete(files: Sequence[File]) -> None:
    """:raises Blocker: the pipe leads out of the tree, and the user has not said what shall become of it."""
    state = _state(files[0])
    if not pipebuf.one_sided(files, state.other) or state.outside == "close":
        return
    if state.outside == "stdio" and all(_state(file).stdio >= 0 for file in files):
        return
    raise Blocker(
        f"pipe:[{state.ino}] leads to a process outside of the tree",
        code="outside",
        resource=f"pipe:[{state.ino}]",
        hint="dump a tree with both ends, or choose what replaces it: --outside close, or stdio for 0, 1 and 2",
    )


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """One pipe for all ends of the group; an end that nobody had is closed again."""
    complete(files)
    state = _state(files[0])
    if state.outside == "stdio" and pipebuf.one_sided(files, state.other):
        return [on.call(x86_64.dup, _state(file).stdio, why="standard descriptor of the restorer") for file in files]
    reader, writer = pairs.pipe(on)
    on.call(x86_64.fcntl, writer, fcntl.F_SETPIPE_SZ, state.size, why="capacity")
    if (state.uid, state.gid) != (os.geteuid(), os.getegid()):
        on.call(x86_64.fchown, writer, state.uid, state.gid, why="owner")
    if state.mode != _MODE:
        on.call(x86_64.fchmod, writer, state.mode, why="mode")
    chunks = max((_state(file).chunks for file in files), key=len)
    pipebuf.give_back(on, writer, chunks)
    made = _ends(files, on, reader, writer)
    for end in (reader, writer):
        if end not in made:
            on.call(x86_64.close, end, why="an end that nobody had")
    return made


def _ends(files: Sequence[File], on: Track, reader: Slot, writer: Slot) -> list[Slot]:
    """The new ends for the first that fit, and a description of its own for each further one."""
    free = {fcntl.O_RDONLY: reader, fcntl.O_WRONLY: writer}
    made = []
    for file in files:
        end = free.pop(file.flags & fcntl.O_ACCMODE, None)
        made.append(end or reopen(on, writer, file.flags, "one more open of a pipe"))
    return made


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Capacity and open ends; the data only if no time has passed."""
    return compare.fields(before, after, ("ino", "outside", "stdio", *(["chunks"] if elapsed else [])))


def can_rouse(f: FileFacts) -> bool:
    """Of a read end, which is empty; from a write end that is full, a byte would have to be taken."""
    return f.flags & fcntl.O_ACCMODE == fcntl.O_RDONLY


def rouse(file: File, fd: Slot | int, on: Track, restore: RestoreSide) -> Callable[[], None]:
    """Write a byte, and read it."""
    path = fcntl.cstring(path_of(fd))
    end = on.call(x86_64.openat, fcntl.AT_FDCWD, path, fcntl.O_WRONLY | fcntl.O_NONBLOCK, 0, why="the other end")
    on.call(x86_64.write, end, b"x", 1, why="something to read")

    def take_back() -> None:
        on.call(x86_64.read, fd, Out(1), 1, why="empty as before")
        on.call(x86_64.close, end)

    return take_back
