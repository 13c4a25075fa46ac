"""Blocks of 2 MiB of a page store, each checked before anybody gets it; the last few stay at hand.

What is given to a process is the very memory that was checked: what becomes of the file meanwhile is no matter.
"""

from __future__ import annotations

import mmap

from replant.abi.libc import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    #: fills the memory with the content of a block; raises `ImageError` where that is damaged
    Fetch = Callable[[int, memoryview], object]

BLOCK = 2 << 20
_KEPT = 8


class Blocks:
    """``fetch(number, memory)`` brings a block, checked."""

    __slots__ = ("_fetch", "_kept", "_most")

    def __init__(self, fetch: Fetch, kept: int = _KEPT) -> None:
        self._fetch = fetch
        self._most = kept
        self._kept: dict[int, memoryview] = {}

    def place(self, at: int) -> int:
        """The address here of the byte at offset ``at`` of the store; good up to the end of its block.

        :raises ImageError: the block is damaged.
        """
        number, inside = divmod(at, BLOCK)
        memory = self._kept.pop(number, None)
        if memory is None:
            memory = _room() if len(self._kept) < self._most else self._kept.pop(next(iter(self._kept)))
            self._fetch(number, memory)
        self._kept[number] = memory  # the one used last stands last
        return address(memory) + inside


def _room() -> memoryview:
    """Memory that a copy of this process has a copy of."""
    return memoryview(mmap.mmap(-1, BLOCK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
