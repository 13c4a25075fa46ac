"""The vDSO and its data pages (vdso(7)): always this kernel's own, moved to where they were.

Where those of the tree were of another build, they come to another place (kind `vdso` of files).
The kernel maps them at exec only. The seed's are parked aside and moved with mremap(2), which tells the kernel where
its signal trampolines are. ``fd`` is the address at which they are parked.
"""

from __future__ import annotations

from replant.abi import mman, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track
    from replant.model.tree import Vma
    from replant.resources.protocol import RestoreSide

VERSION = 1


def make(vma: Vma, fd: Slot | int, prot: int, on: Track, restore: RestoreSide) -> None:
    """Move the parked mapping to its place."""
    length = vma.end - vma.start
    how = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED
    on.call(x86_64.mremap, fd, length, length, how, vma.start, why="vDSO to its place")
