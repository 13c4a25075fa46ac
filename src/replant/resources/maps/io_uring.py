"""Queues of io_uring(7), whose place only the kernel chooses: it finds no other than the one where they were.

An address is refused, for mmap(2) and for mremap(2) alike. So everything else that is free is taken for that moment, by
mappings without any memory. Reading what was mapped notices if it came elsewhere.
"""

from __future__ import annotations

from replant.abi import mman, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import Vma
    from replant.resources.protocol import RestoreSide

VERSION = 1


def make(vma: Vma, fd: Slot | int, prot: int, on: Track, restore: RestoreSide) -> None:
    """The only one that a process has."""
    make_all([(vma, fd, prot)], on, restore)


def make_all(rows: Sequence[tuple[Vma, Slot | int, int]], on: Track, restore: RestoreSide) -> None:
    """Fill all holes, then open one after the other for a mapping."""
    targets = [(vma.start, vma.end) for vma, _, _ in rows]
    holes = restore.holes(int(on.actor))
    for start, end in (*holes, *targets):
        how = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_NORESERVE | mman.MAP_FIXED_NOREPLACE
        on.call(x86_64.mmap, start, end - start, 0, how, -1, 0, why="no place for io_uring")
    for vma, fd, _ in rows:
        length = vma.end - vma.start
        on.call(x86_64.munmap, vma.start, length, why="a place for io_uring")
        on.call(x86_64.mmap, 0, length, vma.prot, mman.MAP_SHARED, fd, vma.offset, why="queues of io_uring")
        on.call(x86_64.mprotect, vma.start, length, vma.prot, why="they are where they were")
    for start, end in holes:
        on.call(x86_64.munmap, start, end - start, why="free again")
