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
    """Map the descriptor; pages that were changed privately are filled in afterwards.

    The kernel puts its probes into what is mapped for execution and not for writing (uprobe_mmap), so code whose pages
    are to be filled is mapped as it was first.
    """
    how = (mman.MAP_SHARED if vma.shared else mman.MAP_PRIVATE) | mman.MAP_FIXED_NOREPLACE
    if "nr" in vma.flags:
        how |= mman.MAP_NORESERVE
    code = prot != vma.prot and vma.prot & mman.PROT_EXEC
    length, first = vma.end - vma.start, vma.prot if code else prot
    on.call(x86_64.mmap, vma.start, length, first, how, fd, vma.offset, why="file mapping")
    if code:
        on.call(x86_64.mprotect, vma.start, length, prot, why="writable while it is filled")
