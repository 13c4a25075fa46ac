"""Memory of huge pages, hugetlbfs: what is in such a file cannot be written by write(2), only through a mapping."""

from __future__ import annotations

import os

from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.model.tree import Extent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.abi.call import Track
    from replant.resources.protocol import DumpSide, RestoreSide

_HUGETLBFS_MAGIC = 0x958458F6
_SHIFT = 26  # MAP_HUGE_SHIFT, SHM_HUGE_SHIFT, MFD_HUGE_SHIFT
_SHM_HUGETLB = 0o4000


def page_size(fd: int) -> int:
    """The size of the huge pages of a file, 0 if it has none."""
    answer = bytearray(120)  # struct statfs: f_type, f_bsize
    syscall(x86_64.fstatfs, fd, answer)
    if int.from_bytes(answer[:8], "little") != _HUGETLBFS_MAGIC:
        return 0
    return int.from_bytes(answer[8:16], "little")


def bits(page: int) -> int:
    """The size of a page as the flags of mmap, shmget and memfd_create have it."""
    return (page.bit_length() - 1) << _SHIFT


def shm_flags(page: int) -> int:
    """The flags of shmget(2) for pages of that size."""
    return _SHM_HUGETLB | bits(page) if page > 4096 else 0


def keep(fd: int, size: int, page: int, dump: DumpSide) -> tuple[Extent, ...]:
    """The pages that hold anything but zeros; hugetlbfs does not tell which were never touched."""
    found = []
    for offset in range(0, size, page):
        data = os.pread(fd, min(page, size - offset), offset)
        if data.strip(b"\0"):
            found.append(dump.keep(data)._replace(offset=offset))
    return tuple(found)


def fill(on: Track, at: int, extents: Iterable[Extent], restore: RestoreSide) -> None:
    """Calls that fill what is mapped at ``at``."""
    for extent in extents:
        where = (at + extent.offset, extent.length, extent.at)
        on.call(x86_64.pread64, restore.pages, *where, why="huge pages", gives=extent.length)
