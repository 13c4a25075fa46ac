"""Where saved pages stand: in the page store of the image, or in that of an earlier image that it builds on.

The third number of a row of `Mm.runs` holds both: the number of the store (0: the image's own, then the manifest's
``parents``, the nearest first) in its upper 16 bits, and the offset there, a multiple of 4096, in its lower 48.
"""

from __future__ import annotations

_SHIFT = 48
_OFFSET = (1 << _SHIFT) - 1
#: how many earlier images one can build on; the number of the last store would be that of guard pages
MOST_PARENTS = (1 << 16) - 2


def place(store: int, offset: int) -> int:
    """The number for an offset in a store."""
    return store << _SHIFT | offset


def split(at: int) -> tuple[int, int]:
    """The store and the offset of a number that is not `GUARD`."""
    return at >> _SHIFT, at & _OFFSET


def one_further(at: int) -> int:
    """The number of the same pages as an image has it that builds on this one."""
    return at + (1 << _SHIFT)
