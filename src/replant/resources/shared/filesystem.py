"""What sort of filesystem a file is on, by its magic number (statfs(2), ``linux/magic.h``)."""

from __future__ import annotations

import os

from replant.abi import libc, x86_64

#: what their files show is made when it is read, so that size and time say nothing
GENERATED = {0x62656572: "sysfs", 0x63677270: "cgroup2", 0x27E0EB: "cgroup", 0x73636673: "securityfs"}
#: reading their files changes what the kernel records, or takes it
TRACING = {0x74726163: "tracefs", 0x64626720: "debugfs"}


def magic(path: str) -> int:
    """The magic number; 0 for what is on a disk, which is not asked, or not there."""
    try:
        if os.major(os.stat(path).st_dev):
            return 0
    except OSError:
        return 0
    answer = bytearray(120)  # struct statfs
    libc.syscall(x86_64.statfs, os.fsencode(path) + b"\0", answer)
    return int.from_bytes(answer[:8], "little")
