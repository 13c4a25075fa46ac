"""Contents of files that nothing else keeps: filled from the page store, in the kernel, holes left as holes."""

from __future__ import annotations

import os
import struct
from stat import S_IMODE

from replant.abi import fcntl, x86_64
from replant.abi.call import Out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.abi.call import Slot, Track
    from replant.model.tree import Extent
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

_ENOSYS, _EOPNOTSUPP = 38, 95
_CHUNK = 1 << 30  # sendfile(2) moves at most 0x7ffff000 bytes a call


def keep(f: FileFacts, dump: DumpSide) -> tuple[Extent, ...]:
    """Put the contents of ``f`` into the page store."""
    return keep_inode(f.grab(), f.size, dump)


def keep_inode(fd: int, size: int, dump: DumpSide) -> tuple[Extent, ...]:
    """Put the contents of the file behind ``fd`` into the page store."""
    own = reader(fd)
    try:
        return tuple(dump.keep_file(own, size))
    finally:
        os.close(own)


def reader(fd: int) -> int:
    """A descriptor to read the file behind ``fd`` by, to be closed by the caller.

    It is of a description of our own: looking for data moves the offset, and that of the program must not move even if
    the dump is killed at that moment.
    """
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NOATIME | os.O_CLOEXEC)


def fill(on: Track, fd: Slot | int, size: int, extents: Iterable[Extent], restore: RestoreSide) -> None:
    """Give the empty file ``fd`` its size and data; the offset of ``fd`` is 0 afterwards.

    Room is reserved first: then a full disk is an error of fallocate(2), and sendfile(2) cannot fall short.
    """
    on.call(x86_64.ftruncate, fd, size, why="size")
    for extent in extents:
        on.call(x86_64.fallocate, fd, 0, extent.offset, extent.length, why="room for data", ok=(_ENOSYS, _EOPNOTSUPP))
        on.call(x86_64.lseek, fd, extent.offset, fcntl.SEEK_SET, why="where the data belongs")
        for start in range(0, extent.length, _CHUNK):
            source = Out(8, struct.pack("=q", extent.at + start))
            count = min(_CHUNK, extent.length - start)
            on.call(x86_64.sendfile, fd, restore.pages, source, count, why="data from the image")
    on.call(x86_64.lseek, fd, 0, fcntl.SEEK_SET)


def layout(extents: Iterable[Extent]) -> list[tuple[int, int]]:
    """Where there is data, whatever its place in the page store."""
    return [(e.offset, e.length) for e in extents]


def dress(
    on: Track,
    fd: Slot | int,
    mode: int,
    owner: tuple[int, int],
    times: tuple[int, int],
    xattrs: Iterable[tuple[str, bytes]],
) -> None:
    """Owner, mode, extended attributes and times (of access and modification), so that none undoes another."""
    on.call(x86_64.fchown, fd, *owner, why="owner")
    on.call(x86_64.fchmod, fd, S_IMODE(mode), why="mode, after the owner who loses set-user-ID")
    for name, value in xattrs:
        on.call(x86_64.fsetxattr, fd, fcntl.cstring(name), value, len(value), 0, why="extended attribute")
    on.call(x86_64.utimensat, fd, 0, fcntl.pack_times(*times), 0, why="times")
