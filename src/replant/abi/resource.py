"""prlimit(2): ``asm-generic/resource.h``, the same numbers on x86-64 and aarch64."""

from __future__ import annotations

from struct import Struct

from replant.abi import libc, x86_64

RLIMIT_CPU = 0
RLIMIT_NOFILE = 7
RLIMIT_SIGPENDING = 11

RLIM_INFINITY = (1 << 64) - 1

#: ``struct rlimit64``: soft, hard
RLIMIT = Struct("<QQ")

#: in the order of their numbers
NAMES = (
    *("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE"),
    *("MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"),
)


def open_files(*, raised: bool = False) -> tuple[int, int]:
    """Our soft and hard limit of open files; ``raised``: after the soft one has been made as high as the hard one."""
    room = bytearray(RLIMIT.size)
    libc.syscall(x86_64.prlimit64, 0, RLIMIT_NOFILE, 0, room)
    soft, hard = RLIMIT.unpack(room)
    if not raised or soft == hard:
        return soft, hard
    libc.syscall(x86_64.prlimit64, 0, RLIMIT_NOFILE, RLIMIT.pack(hard, hard), 0)
    return hard, hard
