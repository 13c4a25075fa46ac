"""Rings of asynchronous IO, io_setup(2): only the kernel maps them, when `task.aio_contexts` makes their contexts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track
    from replant.model.tree import Vma
    from replant.resources.protocol import RestoreSide

VERSION = 1


def make(vma: Vma, fd: Slot | int, prot: int, on: Track, restore: RestoreSide) -> None:
    """Nothing: it comes with its context, to a place that is left free for it."""
