"""poll(2): the events of ``asm-generic/poll.h``, and asking once without waiting."""

from __future__ import annotations

import struct

from replant.abi import libc, x86_64

POLLIN = 0x001
POLLPRI = 0x002
POLLOUT = 0x004
POLLERR = 0x008
POLLHUP = 0x010
POLLRDHUP = 0x2000


def poll_now(fd: int, wanted: int = 0) -> int:
    """What holds for ``fd`` at this moment: of the wanted events, and of POLLERR and POLLHUP, which are always told."""
    entry = bytearray(struct.pack("=ihh", fd, wanted, 0))
    libc.syscall(x86_64.poll, entry, 1, 0)
    result: int = struct.unpack_from("=h", entry, 6)[0]
    return result & 0xFFFF
