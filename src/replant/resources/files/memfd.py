"""memfd_create(2): name, contents, mode, owner, times and seals of an inode, for all its descriptions and mappings.

Also those of huge pages (MFD_HUGETLB), with the size of their pages.
A seal against future writes allows the writable mappings made before it, so it is put on last, once those stand.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISREG

from replant.abi import fcntl, x86_64
from replant.abi.libc import syscall
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, contents, holders, huge, locks
from replant.resources.shared.opening import spread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = True
_PREFIX, _SUFFIX = "/memfd:", " (deleted)"
_MFD_HUGETLB = 0x04
_EPERM = 1


class State(Frozen):
    """``name`` as given to memfd_create, ``ino`` joins descriptions of one inode, ``seals`` are of F_GET_SEALS.

    ``page`` is the size of its huge pages, 0 if it has none.
    """

    name: str
    dev: int
    ino: int
    size: int
    mode: int
    uid: int
    gid: int
    seals: int
    atime_ns: int
    mtime_ns: int
    extents: tuple[Extent, ...]
    page: int = 0


def claims(f: FileFacts) -> bool:
    """The kernel names it ``/memfd:NAME (deleted)``."""
    return S_ISREG(f.mode) and f.link.startswith(_PREFIX) and f.link.endswith(_SUFFIX)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Attributes and contents. :raises Blocker: a lock is held, or others share it."""
    fd = f.grab()
    page = huge.page_size(fd)
    locks.none(f)
    holders.none(f, dump)
    name = f.link[len(_PREFIX) : -len(_SUFFIX)]
    seals = syscall(x86_64.fcntl, fd, fcntl.F_GET_SEALS)
    owner = os.fstat(fd)
    kept = huge.keep(fd, f.size, page, dump) if page else contents.keep(f, dump)
    times = (owner.st_atime_ns, owner.st_mtime_ns)
    return State(name, f.dev, f.ino, f.size, f.mode, owner.st_uid, owner.st_gid, seals, *times, kept, page)


def check(file: File) -> None:
    """:raises Blocker: this host has no huge pages of the size that it has."""
    if _state(file).page:
        huge.check(_state(file).page, f"memfd {_state(file).name!r}")


def group(file: File) -> object:
    """Descriptions and mappings of one inode are made together."""
    return (_state(file).dev, _state(file).ino)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, fill, seal, and open again for every further description."""
    state = _state(files[0])
    how = fcntl.MFD_ALLOW_SEALING | (fcntl.MFD_NOEXEC_SEAL if state.seals & fcntl.F_SEAL_EXEC else fcntl.MFD_EXEC)
    if state.mode & 0o111:
        how = fcntl.MFD_ALLOW_SEALING | fcntl.MFD_EXEC
    if state.page:
        how |= _MFD_HUGETLB | huge.bits(state.page)
    made = on.call(x86_64.memfd_create, fcntl.cstring(state.name), how, why="memfd")
    if state.page:
        on.call(x86_64.ftruncate, made, state.size, why="size")
        huge.fill_file(on, made, state.size, state.extents, restore)
    else:
        contents.fill(on, made, state.size, state.extents, restore)
    on.call(x86_64.fchown, made, state.uid, state.gid, why="owner")
    on.call(x86_64.fchmod, made, S_IMODE(state.mode), why="mode")
    on.call(x86_64.utimensat, made, 0, fcntl.pack_times(state.atime_ns, state.mtime_ns), 0, why="times")
    late = any(map(_seals_later, files))
    seals = state.seals & ~(fcntl.F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL) if late else state.seals
    if seals:
        on.call(x86_64.fcntl, made, fcntl.F_ADD_SEALS, seals, why="seals")
    return spread(on, made, fcntl.O_RDWR, files)


def _seals_later(file: File) -> bool:
    """Only a description for writing can seal; without one there is no mapping for writing either that has to wait."""
    return bool(file.flags & fcntl.O_ACCMODE != fcntl.O_RDONLY and _state(file).seals & fcntl.F_SEAL_FUTURE_WRITE)


def finish(file: File, on: Track, restore: RestoreSide) -> None:
    """The seal against future writes; EPERM: another description has done it, with the seal against seals."""
    if _seals_later(file):
        fd, seals = restore.fd(file.number), _state(file).seals
        on.call(x86_64.fcntl, fd, fcntl.F_ADD_SEALS, seals, why="last seals", ok=(_EPERM,))


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Everything but the inode number and the place of the contents; every look changes the access time."""
    moving = ("mtime_ns",) if elapsed else ()
    yield from compare.fields(before, after, ("dev", "ino", "extents", "atime_ns", *moving))
    if elapsed == 0 and contents.layout(before.extents) != contents.layout(after.extents):
        yield f"data at {contents.layout(before.extents)} -> {contents.layout(after.extents)}"
