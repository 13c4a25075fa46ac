"""Private anonymous memory: heap, stacks, malloc areas; areas that grow down included (mmap(2))."""

from __future__ import annotations

from replant.abi import mman, x86_64
from replant.abi.call import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track
    from replant.model.tree import Vma
    from replant.resources.protocol import RestoreSide

VERSION = 1

_FIXED = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_FIXED_NOREPLACE
_CHOICES = (("gd", mman.MAP_GROWSDOWN), ("nr", mman.MAP_NORESERVE))


def make(vma: Vma, fd: Slot | int, prot: int, on: Track, restore: RestoreSide) -> None:
    """Map it where it was. NORESERVE shows only while overcommit is not strict, as it did before."""
    how = _how(vma.flags) if vma.flags else _FIXED
    # ten thousand of them: a result that nobody needs is not worth a Slot
    on.calls.append(Call(x86_64.mmap, vma.start, vma.end - vma.start, prot, how, -1, 0, why="memory"))


def _how(flags: str) -> int:
    words = flags.split()
    if "dp" in words:
        return mman.MAP_DROPPABLE | mman.MAP_ANONYMOUS | mman.MAP_FIXED_NOREPLACE
    return _FIXED | sum(bit for word, bit in _CHOICES if word in words)
