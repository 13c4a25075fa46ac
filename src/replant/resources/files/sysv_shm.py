"""System V shared memory, shmget(2): a segment with number, key, owner, mode, size and contents.

Segments that the tree has attached are found by their mappings, those that it has made and not attached at present by
the processes that the kernel remembers. A segment is kept if all its attachments are the tree's; if others use it too
it is refused, or left as it is (``--ipc leave``). One that the tree itself has left behind at its end is removed at
restore, when its number is given to the saved one; otherwise that number must be free.

The creator's user is kept, and its process where that is in the tree. Times are new. Looking at a segment that nobody
has attached attaches it for a moment. Not kept: SHM_NORESERVE of a segment.
"""

from __future__ import annotations

import os

from replant.abi import fcntl, ipc, mman, x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, contents, huge, sysv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
DESCRIPTOR = False
COUNTED = True  # shm_nattch of shmctl(2)
_PREFIX, _SUFFIX = "/SYSV", " (deleted)"
_PLACE = 1 << 44  # where no loader and no allocator puts anything
_HOW = 0o777


class State(Frozen):
    """``cpid`` is 0 for a creator outside of the tree; ``page`` is the size of its pages."""

    object: sysv.Object
    size: int
    cpid: int
    page: int
    extents: tuple[Extent, ...]


def claims(f: FileFacts) -> bool:
    """By the name that the kernel gives to all of them; the inode number is that of the segment."""
    return f.link.startswith(_PREFIX) and f.link.endswith(_SUFFIX) and sysv.find("shm", f.ino) is not None


def read(f: FileFacts, dump: DumpSide) -> State:
    """An attached segment. :raises Blocker: it is attached outside of the tree too."""
    row = sysv.find("shm", f.ino)
    assert row is not None  # claimed
    if f.fd >= 0:
        what = f"{f.where} is shared memory segment {f.ino} opened as a file, which cannot be kept"
        raise Blocker(what, code="unsupported", pid=f.pid, resource=f.where, hint="close it before the dump")
    others = row["nattch"] - dump.mappings(f.dev, f.ino)
    outside = others > 0 and sysv.alone(_name(f.ino), _attachments(row, others, dump), dump)
    page = huge.page_size(f.grab()) or mman.PAGE
    return _state(row, page, outside, () if outside else _contents(f.grab(), row["size"], page, dump), dump)


def _name(number: int) -> str:
    return f"shared memory segment {number}"


def _attachments(row: sysv.Row, others: int, dump: DumpSide) -> str:
    known = sysv.strangers((row["cpid"], row["lpid"]), dump)
    return f"{others} attachments" + (f" (process {known[0]})" if known else "")


def _state(row: sysv.Row, page: int, outside: bool, extents: tuple[Extent, ...], dump: DumpSide) -> State:
    cpid = row["cpid"] if row["cpid"] in dump.pids() else 0
    return State(sysv.common(row, outside), row["size"], cpid, page, extents)


def _contents(fd: int, size: int, page: int, dump: DumpSide) -> tuple[Extent, ...]:
    if page != mman.PAGE:
        return huge.keep(fd, size, page, dump)
    return contents.keep_inode(fd, size, dump)


def standing(dump: DumpSide, known: Sequence[File]) -> Iterable[State]:
    """Segments of the tree that it has not attached at present. :raises Blocker: others use one, too."""
    attached = {_state_of(file).object.id for file in known}
    for row in sysv.table("shm"):
        users = (row["cpid"], row["lpid"])
        if row["id"] in attached or row["nattch"] or not sysv.belongs(row, users, dump):
            continue
        others = sysv.strangers(users, dump)
        if others and sysv.alone(_name(row["id"]), f"process {others[0]}", dump):
            yield _state(row, mman.PAGE, True, (), dump)
            continue
        yield _detached(row, dump)


def _detached(row: sysv.Row, dump: DumpSide) -> State:
    at = syscall(x86_64.shmat, row["id"], 0, ipc.SHM_RDONLY)
    try:
        fd = os.open(_as_file(at), os.O_RDONLY | os.O_CLOEXEC)
        try:
            page = huge.page_size(fd) or mman.PAGE
            return _state(row, page, False, _contents(fd, row["size"], page, dump), dump)
        finally:
            os.close(fd)
    finally:
        syscall(x86_64.shmdt, at)


def _as_file(at: int) -> str:
    folder = f"/proc/{os.getpid()}/map_files"
    return next(f"{folder}/{name}" for name in os.listdir(folder) if name.startswith(f"{at:x}-"))


def _state_of(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def group(file: File) -> object:
    """Attachments for reading and for writing are of one segment."""
    return _state_of(file).object.id


def check(file: File) -> None:
    """:raises Blocker: its number or its key is taken, or it has gone and others used it too."""
    state = _state_of(file)
    own = state.object
    if state.page != mman.PAGE and not own.outside:
        huge.check(state.page, _name(own.id))
    sysv.check(_name(own.id), "shm", own, lambda row: row["nattch"] > 0 or row["size"] != state.size)


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Make it and fill it; what stands for it is its number."""
    state = _state_of(files[0])
    own = state.object
    if own.outside:
        return [own.id] * len(files)
    sysv.prepare("shm", own, x86_64.shmctl, on)
    maker = restore.stand_in(on, state.cpid, own.cuid, own.cgid)
    how = ipc.IPC_CREAT | ipc.IPC_EXCL | own.mode & _HOW | huge.shm_flags(state.page)
    made = maker.call(x86_64.shmget, own.key, state.size, how, why="shared memory", gives=own.id)
    sysv.made(made, maker, x86_64.shmctl)
    owner = bytes(ipc.pack_owner(ipc.SHMID_DS, own.uid, own.gid, own.mode))
    on.call(x86_64.shmctl, own.id, ipc.IPC_SET, owner, why="owner")
    if own.mode & ipc.SHM_LOCKED:
        on.call(x86_64.shmctl, own.id, ipc.SHM_LOCK, 0, why="locked into memory")
    if state.extents:
        _fill(state, on, restore)
    return [own.id] * len(files)


def _fill(state: State, on: Track, restore: RestoreSide) -> None:
    length = -(-state.size // state.page) * state.page
    on.call(x86_64.shmat, state.object.id, _PLACE, 0, why="attached to be filled")
    if state.page != mman.PAGE:
        huge.fill(on, _PLACE, state.extents, restore)
    else:
        path = fcntl.cstring(f"/proc/self/map_files/{_PLACE:x}-{_PLACE + length:x}")
        how = fcntl.O_RDWR | fcntl.O_CLOEXEC
        fd = on.call(x86_64.openat, fcntl.AT_FDCWD, path, how, 0, why="the segment as a file")
        contents.fill(on, fd, state.size, state.extents, restore)
        on.call(x86_64.close, fd)
    on.call(x86_64.shmdt, _PLACE, why="filled")


def finish(file: File, on: Track, restore: RestoreSide) -> None:
    """A segment to be removed goes with its last attachment, so it is told so when all are there."""
    own = _state_of(file).object
    if own.mode & ipc.SHM_DEST and not own.outside:
        on.call(x86_64.shmctl, own.id, ipc.IPC_RMID, 0, why="to be removed")


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Everything but contents, which the program changes when it runs."""
    yield from compare.fields(before, after, ("extents",))
