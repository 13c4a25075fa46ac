"""clone3(2) with a chosen pid; every stub is born traced."""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

CLONE_PTRACE = 0x2000  # traced by our tracer from birth, and without an event stop of the parent
CLONE_PARENT = 0x8000
CLONE_THREAD = 0x50F00 | CLONE_PTRACE  # VM, FS, FILES, SIGHAND, THREAD, SYSVSEM


def clone_args(pid: int, flags: int, signal: int, place: Callable[[bytes], int]) -> bytes:
    """A ``struct clone_args`` of 88 bytes (linux/sched.h) that asks for a pid; ``signal`` tells the parent of the end.

    ``place`` puts the pid where the clone can read it.
    """
    return struct.pack("<11Q", flags, 0, 0, 0, signal, 0, 0, 0, place(struct.pack("<I", pid)), 1, 0)


def free_number(wanted: Container[int], after: int) -> int:
    """A pid that nobody has and nobody wants, the next one after ``after``."""
    number = after + 1
    while number in wanted or os.path.exists(f"/proc/{number}"):
        number += 1
    return number
