"""prlimit(2): ``asm-generic/resource.h``, the same numbers on x86-64 and aarch64."""

from __future__ import annotations

from struct import Struct

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
