"""Restartable sequences: ``linux/rseq.h``; ``struct rseq`` is the area of a thread, ``rseq_cs`` a critical section.

The kernel moves a thread that was interrupted inside a critical section to its abort handler **when it returns to user
mode**, by the instruction pointer it finds then. A ptrace stop shows the pointer of before; whoever moves it (into a
blob, or into another task) takes that decision away: the kernel only clears ``rseq_cs`` of the area, and the thread
would go on in the middle of a sequence that was not atomic any more. So it has to be made at the stop: `abort_address`.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: offset of the pointer to the critical section in the area
CS_AT = 8

#: version, flags, start_ip, post_commit_offset, abort_ip
_SECTION = Struct("<IIQQQ")


def abort_address(area: int, rip: int, read: Callable[[int, int], bytes]) -> int | None:
    """Where a thread stopped at ``rip`` has to go on, None: where it is.

    ``area`` is the address of its struct rseq, 0 without one; ``read(address, size)`` reads its memory, and is to be
    called before the thread has run anything since the stop. An invalid descriptor is left to the kernel (SIGSEGV).
    """
    pointer = int.from_bytes(read(area + CS_AT, 8), "little") if area else 0
    if not pointer:
        return None
    version, _, start, length, abort = _SECTION.unpack(read(pointer, _SECTION.size))
    return abort if version == 0 and start <= rip < start + length else None
