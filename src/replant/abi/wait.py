"""Wait statuses (``linux/wait.h``), with the upper half that ptrace(2) puts on them."""

from __future__ import annotations

WNOHANG = 1
WUNTRACED = 2
WNOWAIT = 0x01000000
WNOTHREAD = 0x20000000
WALL = 0x40000000


def stopped(status: int) -> bool:
    """Whether it tells of a stop."""
    return status & 0xFF == 0x7F


def stop_signal(status: int) -> int:
    """The signal of a stop."""
    return status >> 8 & 0xFF


def event(status: int) -> int:
    """The PTRACE_EVENT of a stop, 0 if there is none."""
    return status >> 16
