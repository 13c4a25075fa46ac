"""Numbers of open(2), fcntl(2), memfd_create(2), the ``*at`` calls: ``asm-generic/fcntl.h``, ``linux/fcntl.h``."""

from __future__ import annotations

import os
import struct

O_ACCMODE = 0o3
O_RDONLY = 0o0
O_WRONLY = 0o1
O_RDWR = 0o2
O_CREAT = 0o100
O_EXCL = 0o200
O_NOCTTY = 0o400
O_TRUNC = 0o1000
O_APPEND = 0o2000
O_NONBLOCK = 0o4000
O_ASYNC = 0o20000
O_DIRECT = 0o40000
O_LARGEFILE = 0o100000
O_DIRECTORY = 0o200000
O_NOFOLLOW = 0o400000
O_NOATIME = 0o1000000
O_CLOEXEC = 0o2000000
O_PATH = 0o10000000
O_TMPFILE_BIT = 0o20000000  # __O_TMPFILE; O_TMPFILE is this with O_DIRECTORY
O_TMPFILE = O_TMPFILE_BIT | O_DIRECTORY

AT_FDCWD = -100
RENAME_NOREPLACE = 1
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_EMPTY_PATH = 0x1000

F_DUPFD = 0
F_GETFD = 1
F_SETFD = 2
F_GETFL = 3
F_SETFL = 4
F_SETLK = 6
F_SETOWN_EX = 15
F_GETOWN_EX = 16
F_OFD_SETLK = 37
F_RDLCK = 0
F_WRLCK = 1
F_UNLCK = 2
F_SETLEASE = 1024
F_DUPFD_CLOEXEC = 1030
F_SETPIPE_SZ = 1031
F_GETPIPE_SZ = 1032
F_ADD_SEALS = 1033
F_GET_SEALS = 1034

SEEK_SET = 0

F_SEAL_SEAL = 0x01
F_SEAL_SHRINK = 0x02
F_SEAL_GROW = 0x04
F_SEAL_WRITE = 0x08
F_SEAL_FUTURE_WRITE = 0x10
F_SEAL_EXEC = 0x20

MFD_ALLOW_SEALING = 0x02
MFD_NOEXEC_SEAL = 0x08
MFD_EXEC = 0x10

SPLICE_F_NONBLOCK = 2

LOCK_SH = 1
LOCK_EX = 2
LOCK_NB = 4


def cstring(path: str | bytes) -> bytes:
    """A path as the kernel reads it: bytes with the final NUL."""
    return os.fsencode(path) + b"\0"


def pack_flock(kind: int, start: int, length: int) -> bytes:
    """``struct flock`` of the 64-bit ABI, counted from the start of the file; ``length`` 0: to its end."""
    return struct.pack("=hh4xqqi4x", kind, SEEK_SET, start, length, 0)


def pack_times(*nanoseconds: int) -> bytes:
    """``struct timespec``, one or several in a row, from nanoseconds."""
    return b"".join([struct.pack("=qq", *divmod(ns, 1_000_000_000)) for ns in nanoseconds])
