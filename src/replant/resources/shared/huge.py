"""Memory of huge pages, hugetlbfs: what is in such a file cannot be written by write(2), only through a mapping.

Huge pages come from a pool, which the administrator fills (/proc/sys/vm/nr_hugepages): if it has too few at restore,
that is an error of mmap(2).
"""

from __future__ import annotations

import os

from replant.abi import mman, x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker
from replant.model.tree import Extent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.abi.call import Slot, Track
    from replant.resources.protocol import DumpSide, RestoreSide

_HUGETLBFS_MAGIC = 0x958458F6
_SHIFT = 26  # MAP_HUGE_SHIFT, SHM_HUGE_SHIFT, MFD_HUGE_SHIFT
_SHM_HUGETLB = 0o4000
_POOLS = "/sys/kernel/mm/hugepages"
_PLACE = 1 << 44  # where no loader and no allocator puts anything


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
    found: list[Extent] = []
    if not os.fstat(fd).st_blocks:
        return ()
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


def fill_file(on: Track, fd: Slot | int, size: int, extents: Iterable[Extent], restore: RestoreSide) -> None:
    """Calls of the restorer that fill the file ``fd``, through a mapping of it that is there for a moment."""
    if extents:
        how = mman.MAP_SHARED | mman.MAP_FIXED_NOREPLACE
        on.call(x86_64.mmap, _PLACE, size, mman.PROT_READ | mman.PROT_WRITE, how, fd, 0, why="huge pages to be filled")
        fill(on, _PLACE, extents, restore)
        on.call(x86_64.munmap, _PLACE, size)


def check(page: int, what: str) -> None:
    """:raises Blocker: this host has no huge pages of that size."""
    pool = f"{_POOLS}/hugepages-{page >> 10}kB"
    try:
        counts = [_number(f"{pool}/{name}") for name in ("nr_hugepages", "nr_overcommit_hugepages")]
    except FileNotFoundError:
        counts = []
    if not any(counts):
        raise Blocker(
            f"{what} is of huge pages of {page >> 10} KiB, and this host has none of them",
            code="huge-pages",
            resource=what,
            hint=f"reserve some: echo N > {pool}/nr_hugepages",
        )


def _number(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())
