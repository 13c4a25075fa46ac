"""Named pipes: opened again by path, with capacity and queued data; removed ones get their name back nowhere at all.

As for pipes, both sides have to be in the tree, or the other one has to be closed everywhere.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISFIFO

from replant.abi import fcntl, poll, x86_64
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.resources.shared import compare, locks, nowhere, pipebuf
from replant.resources.shared.opening import again, named
from replant.resources.shared.refusal import hinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_DELETED = " (deleted)"


class State(Frozen):
    """Path and identity; ``size``, ``chunks``, ``other``, ``outside`` as of pipes.

    ``quiet``: a read end that has never had a writer, so that poll(2) tells of no hang-up. Mode and owner are needed
    where the name was ``removed``.
    """

    path: str
    dev: int
    ino: int
    mode: int
    uid: int
    gid: int
    removed: bool
    size: int
    chunks: tuple[pipebuf.Chunk, ...]
    other: bool
    quiet: bool
    outside: str = ""


def claims(f: FileFacts) -> bool:
    """A FIFO with a name, now or once."""
    return S_ISFIFO(f.mode) and f.link.startswith("/")


def read(f: FileFacts, dump: DumpSide) -> State:
    """One open end. :raises Blocker: the name stands for something else, or the capacity is more than we may have."""
    locks.none(f)
    removed = f.nlink == 0
    path = f.link.removesuffix(_DELETED) if removed else named(f)
    fd = f.grab()
    owner = os.fstat(fd)
    pipebuf.no_notifications(f)
    other = pipebuf.other_end(f)
    size = pipebuf.capacity(fd)
    chunks = pipebuf.peek(f, size) if pipebuf.reads(f.flags) or not other else ()
    quiet = not other and pipebuf.reads(f.flags) and not poll.poll_now(fd) & poll.POLLHUP
    return State(
        path, f.dev, f.ino, f.mode, owner.st_uid, owner.st_gid, removed, size, chunks, other, quiet,
        dump.policy("outside"),
    )  # fmt: skip


def group(file: File) -> object:
    """All opens of one FIFO are made together."""
    state = _state(file)
    return (state.dev, state.ino)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def complete(files: Sequence[File]) -> None:
    """:raises Blocker: somebody outside of the tree has the other side open."""
    state = _state(files[0])
    if pipebuf.one_sided(files, any(_state(file).other for file in files)) and state.outside != "close":
        raise Blocker(
            f"the FIFO {state.path} is open in a process outside of the tree",
            code="outside",
            resource=state.path,
            hint="dump a tree with both sides, or let it be as if the other side had closed it: --outside close",
        )


def check(file: File) -> None:
    """:raises Blocker: there is no FIFO of that name."""
    state = _state(file)
    if state.removed:
        return
    try:
        found = os.stat(state.path)
    except OSError:
        raise hinder(file, state.path, "there is no such FIFO", "make it again", "file-gone") from None
    if not S_ISFIFO(found.st_mode):
        raise hinder(file, state.path, "it was a FIFO and is none now", "put the FIFO back")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """While a description for both ways is there, no open waits for the other side."""
    complete(files)
    state = _state(files[0])
    top, path = _made(state, on) if state.removed else (fcntl.AT_FDCWD, fcntl.cstring(state.path))

    def opened(flags: int, why: str) -> Slot:
        return on.call(x86_64.openat, top, path, again(flags), 0, why=why)

    both = opened(fcntl.O_RDWR, "FIFO, both ways")
    chunks = max((_state(file).chunks for file in files), key=len)
    on.call(x86_64.fcntl, both, fcntl.F_SETPIPE_SZ, state.size, why="capacity")
    pipebuf.give_back(on, both, chunks)
    made = {f.number: opened(f.flags, "FIFO") for f in files if not _state(f).quiet}
    on.call(x86_64.close, both)
    made.update({f.number: _quietly(f, on, opened) for f in files if _state(f).quiet})
    if state.removed:
        on.call(x86_64.unlinkat, top, path, 0, why="removed as before")
        on.call(x86_64.close, top)
    return [made[f.number] for f in files]


def _made(state: State, on: Track) -> tuple[Slot, bytes]:
    top, path = nowhere.with_folders(on, state.path)
    on.call(x86_64.mknodat, top, path, state.mode, 0, why="removed FIFO")
    on.call(x86_64.fchownat, top, path, state.uid, state.gid, 0, why="its owner")
    on.call(x86_64.fchmodat, top, path, S_IMODE(state.mode), why="its mode, whatever the umask")
    return top, path


def _quietly(file: File, on: Track, opened: Callable[[int, str], Slot]) -> Slot:
    """A read end opened while there is no writer, which only O_NONBLOCK allows."""
    state = _state(file)
    fd = opened(file.flags | fcntl.O_NONBLOCK, "FIFO that never had a writer")
    on.call(x86_64.fcntl, fd, fcntl.F_SETPIPE_SZ, state.size, why="capacity")
    on.call(x86_64.fcntl, fd, fcntl.F_SETFL, file.flags & fcntl.O_NONBLOCK)
    return fd


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Name, capacity and open sides; the data only if no time has passed; a removed one is another inode now."""
    ignored = ["outside", *(["chunks"] if elapsed else []), *(["dev", "ino"] if before.removed else [])]
    return compare.fields(before, after, ignored)
