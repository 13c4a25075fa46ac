"""The arena: shared memory in which stubs find their records and leave their results.

One memfd, mapped at the same address in every stub and anywhere in the restorer: records are written and results read
as plain memory, without a system call. The file is sparse: what is not used costs nothing.
"""

from __future__ import annotations

import ctypes
import os

from replant.abi import libc, mman, x86_64

_ALIGN = 64  # XRSTOR wants its area aligned so, and records are as long


class Arena:
    """``size`` bytes that stubs see at ``address``; ``view`` is the same memory in the restorer."""

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self.fd = os.memfd_create("arena", 0)  # inherited by the seed
        os.ftruncate(self.fd, size)
        prot = mman.PROT_READ | mman.PROT_WRITE
        self._mapped = libc.syscall(x86_64.mmap, 0, size, prot, mman.MAP_SHARED, self.fd, 0)
        self.view = memoryview((ctypes.c_char * size).from_address(self._mapped)).cast("B")
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
        libc.syscall(x86_64.munmap, self._mapped, self.size)
        os.close(self.fd)


def find_hole(taken: list[tuple[int, int]], size: int) -> int:
    """The lowest address, from 64 KiB up, of a hole of ``size`` bytes between ``taken`` (start, end) ranges.

    :raises MemoryError: there is none below the end of user space.
    """
    at = 0x10000
    for start, end in sorted(taken):
        if start - at >= size:
            return at
        at = max(at, (end + mman.PAGE - 1) & -mman.PAGE)
    if (1 << 47) - mman.PAGE - at >= size:
        return at
    raise MemoryError(f"no hole of {size} bytes in the address space")
