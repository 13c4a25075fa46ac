"""Timers: ``struct itimerval``, ``itimerspec`` and ``sigevent`` of ``linux/time.h`` and ``asm-generic/siginfo.h``."""

from __future__ import annotations

from struct import Struct

ITIMER_REAL = 0
ITIMER_VIRTUAL = 1
ITIMER_PROF = 2

CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1
CLOCK_PROCESS_CPUTIME_ID = 2
CLOCK_THREAD_CPUTIME_ID = 3
# what the kernel makes of these two, and shows: ~pid << 3 | thread << 2 | kind, pid 0 being the caller
CPU_CLOCKS_OF_PROCESS = (-8, -7, -6)  # system and user time, user time, run time
CPU_CLOCKS_OF_THREAD = (-4, -3, -2)
CLOCK_BOOTTIME = 7
CLOCK_REALTIME_ALARM = 8
CLOCK_BOOTTIME_ALARM = 9
CLOCK_TAI = 11

TIMER_ABSTIME = 1

SIGEV_SIGNAL = 0
SIGEV_NONE = 1
SIGEV_THREAD = 2
SIGEV_THREAD_ID = 4

NS = 1_000_000_000

_FOUR = Struct("<4q")
_SIGEVENT = Struct("<QiiI44x")
_TIMESPEC = Struct("<2q")

ITIMER_SIZE = _FOUR.size  # of itimerval and of itimerspec


def itimerval(interval: int, value: int) -> bytes:
    """Both in microseconds."""
    return _FOUR.pack(*divmod(interval, 1_000_000), *divmod(value, 1_000_000))


def itimerval_from(data: bytes) -> tuple[int, int]:
    """(interval, value) in microseconds."""
    a, b, c, d = _FOUR.unpack(data)
    return a * 1_000_000 + b, c * 1_000_000 + d


def itimerspec(interval: int, value: int) -> bytes:
    """Both in nanoseconds."""
    return _FOUR.pack(*divmod(interval, NS), *divmod(value, NS))


def itimerspec_from(data: bytes) -> tuple[int, int]:
    """(interval, value) in nanoseconds."""
    a, b, c, d = _FOUR.unpack(data)
    return a * NS + b, c * NS + d


def timespec(time: int) -> bytes:
    """A time in nanoseconds."""
    return _TIMESPEC.pack(*divmod(time, NS))


def sigevent(value: int, signal: int, notify: int, tid: int) -> bytes:
    """``struct sigevent``; ``tid`` counts with SIGEV_THREAD_ID only."""
    return _SIGEVENT.pack(value, signal, notify, tid)
