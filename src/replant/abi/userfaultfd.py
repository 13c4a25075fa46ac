"""userfaultfd(2): pages of another process, missing ones filled in, written ones noted: ``linux/userfaultfd.h``.

``struct uffd_msg`` is 32 bytes: the event at 0, its arguments from 8 on::

    PAGEFAULT  flags, address             FORK   descriptor of the child's userfaultfd (32 bits)
    REMAP      from, to, length           REMOVE, UNMAP  start, end

With WP_ASYNC (Linux 6.7) a write to a protected page is let through by the kernel itself, which takes the protection
away: PAGEMAP_SCAN then says that the page is written. Nobody waits for anybody, and no message comes.
"""

from __future__ import annotations

import errno
import os
from struct import Struct, pack

from replant.abi import x86_64
from replant.abi.libc import syscall, syscall_raw

API = 0xAA
PAGEFAULT, FORK, REMAP, REMOVE, UNMAP = 0x12, 0x13, 0x14, 0x15, 0x16
EVENT_FORK, EVENT_REMAP, EVENT_REMOVE, EVENT_UNMAP = 1 << 1, 1 << 2, 1 << 3, 1 << 6
CAN_POISON = 1 << 14
WP_ASYNC = 1 << 15
MESSAGE = 32

_API, _REGISTER, _WAKE = 0xC018AA3F, 0xC020AA00, 0x8010AA02
_COPY, _ZEROPAGE, _WRITEPROTECT, _POISON = 0xC028AA03, 0xC020AA04, 0xC018AA06, 0xC020AA08
_MISSING, _WP = 1, 2
#: of the system call, for WP_ASYNC; UFFD_USER_MODE_ONLY needs no privilege, and nobody handles faults
QUIETLY = os.O_CLOEXEC | os.O_NONBLOCK | 1

_COPY_ARG, _RANGE_ARG = Struct("<QQQQq"), Struct("<QQQq")


def api(fd: int, features: int) -> None:
    """Say hello, and which features are wanted. :raises OSError: EINVAL: one is unknown here; EPERM: not allowed."""
    syscall(x86_64.ioctl, fd, _API, bytearray(pack("<QQQ", API, features, 0)))


def register(fd: int, start: int, length: int) -> None:
    """Have missing pages of a range told from now on. :raises OSError: it is no private memory, or registered."""
    syscall(x86_64.ioctl, fd, _REGISTER, bytearray(pack("<QQQQ", start, length, _MISSING, 0)))


def note_writes(fd: int, start: int, length: int) -> bool:
    """Have writes to a mapping noted from its next protection on; False if it cannot be, or is somebody else's.

    :raises OSError: ENOMEM, ESRCH: the address space is gone.
    """
    done = syscall_raw(x86_64.ioctl, fd, _REGISTER, bytearray(pack("<QQQQ", start, length, _WP, 0)))
    if done < 0 and -done not in (errno.EINVAL, errno.EBUSY, errno.EPERM):
        raise OSError(-done, os.strerror(-done))
    return done >= 0


def take_marks(fd: int, start: int, length: int) -> None:
    """Take the protection from all pages of a mapping whose writes are noted: they count as written.

    :raises OSError: ENOENT: its writes are not noted; ENOMEM, ESRCH: the address space is gone.
    """
    syscall(x86_64.ioctl, fd, _WRITEPROTECT, bytearray(pack("<QQQ", start, length, 0)))


def wake(fd: int, start: int, length: int) -> None:
    """Let those try again who wait for pages of a range; a process that is gone has none."""
    syscall_raw(x86_64.ioctl, fd, _WAKE, pack("<QQ", start, length))


def copy(fd: int, to: int, source: int, length: int) -> tuple[int, int]:
    """Fill missing pages from ``source``, our address: how many bytes were done, and the error that came then, or 0."""
    arg = bytearray(_COPY_ARG.pack(to, source, length, 0, 0))
    return _outcome(syscall_raw(x86_64.ioctl, fd, _COPY, arg), _COPY_ARG.unpack(arg)[4])


def zero(fd: int, start: int, length: int) -> tuple[int, int]:
    """Fill missing pages with zeros; the answer as of `copy`."""
    return _ranged(fd, _ZEROPAGE, start, length)


def poison(fd: int, start: int, length: int) -> tuple[int, int]:
    """Have whoever touches missing pages of a range get SIGBUS (Linux 6.6); the answer as of `copy`."""
    return _ranged(fd, _POISON, start, length)


def _ranged(fd: int, request: int, start: int, length: int) -> tuple[int, int]:
    arg = bytearray(_RANGE_ARG.pack(start, length, 0, 0))
    return _outcome(syscall_raw(x86_64.ioctl, fd, request, arg), _RANGE_ARG.unpack(arg)[3])


def _outcome(result: int, done: int) -> tuple[int, int]:
    if result >= 0:
        return done, 0
    if -result == errno.EAGAIN and done > 0:
        return done, 0  # a part: what stopped it shows when the rest is tried
    return 0, -result
