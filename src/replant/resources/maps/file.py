"""Mappings of files, private and shared: programs, libraries, data, memfds, shared anonymous memory (mmap(2))."""

from __future__ import annotations

from replant.abi import mman, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track
    from replant.model.tree import Vma
    from replant.resources.protocol import RestoreSide

VERSION = 1


def make(vma: Vma, fd: Slot | int, prot: int, on: Track, restore: RestoreSide) -> None:
    """Map the descriptor; pages that were changed privately are filled in afterwards."""
    how = (mman.MAP_SHARED if vma.shared else mman.MAP_PRIVATE) | mman.MAP_FIXED_NOREPLACE
    if "nr" in vma.flags:
        how |= mman.MAP_NORESERVE
    on.call(x86_64.mmap, vma.start, vma.end - vma.start, prot, how, fd, vma.offset, why="file mapping")
