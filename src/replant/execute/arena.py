"""The arena: shared memory in which stubs find their records and leave their results.

One memfd, mapped at the same address in every stub and anywhere in the restorer: records are written and results read
as plain memory, without a system call. The file is sparse: what is not used costs nothing.
"""

from __future__ import annotations

import ctypes
import os
from _bisect import bisect_right

from replant.abi import libc, mman, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.model.tree import Vma

SIZE = 1 << 30  # sparse: only what is used takes memory
GAP = 1 << 20  # between an arena and what is parked behind it
_ALIGN = 64  # XRSTOR wants its area aligned so, and records are as long


# the kernel maps from the top down, programs and their heaps begin at the bottom or at 0x5500_0000_0000
_APART = 0x100_0000_0000
_PLACES = tuple(range(0x2000_0000_0000, 0x5000_0000_0000, _APART))


class Arena:
    """``size`` bytes that stubs see at ``address``; ``view`` is the same memory in the restorer, at ``here``."""

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self.fd = os.memfd_create("arena", 0)  # inherited by the seed
        os.ftruncate(self.fd, size)
        prot = mman.PROT_READ | mman.PROT_WRITE
        self.here = libc.syscall(x86_64.mmap, 0, size, prot, mman.MAP_SHARED, self.fd, 0)
        self.view = memoryview((ctypes.c_char * size).from_address(self.here)).cast("B")
        self._top = 0

    def take(self, size: int) -> int:
        """The offset of ``size`` fresh bytes, zeros.

        :raises MemoryError: the arena is full.
        """
        at = self._top
        self._top = (at + size + _ALIGN - 1) & -_ALIGN
        if self._top > self.size:
            raise MemoryError(f"the arena of {self.size} bytes is full")
        return at

    def mark(self) -> int:
        """The offset that the next `take` will give."""
        return self._top

    def fill(self, at: int, *parts: bytes | bytearray) -> None:
        """Take the room for ``parts`` at `mark`, and write them there, one behind the other."""
        self.take(sum(map(len, parts)))
        for part in parts:
            self.view[at : at + len(part)] = part
            at += len(part)

    def place(self, data: bytes) -> int:
        """Put bytes into the arena; the address at which stubs see them."""
        at = self.take(len(data))
        self.view[at : at + len(data)] = data
        return self.address + at

    def close(self) -> None:
        """Unmap it here; stubs have mappings of their own."""
        self.view.release()
        libc.syscall(x86_64.munmap, self.here, self.size)
        os.close(self.fd)


def find_place(spaces: Iterable[Sequence[Vma]], size: int, besides: int = 0) -> int:
    """An address where ``size`` bytes are free in all address spaces (mappings in order of address each).

    ``besides``: an address near a place that is already taken.

    :raises MemoryError: none of the places far from where the kernel puts things is free in all of them.
    """
    spaces = list(spaces)
    for place in _PLACES:
        if not place <= besides < place + _APART and not any(_overlaps(vmas, place, place + size) for vmas in spaces):
            return place
    raise MemoryError("no address is free in all processes of the tree")


def _overlaps(vmas: Sequence[Vma], start: int, end: int) -> bool:
    after = bisect_right(vmas, end - 1, key=_start)
    return after > 0 and vmas[after - 1].end > start


def _start(vma: Vma) -> int:
    return vma.start
