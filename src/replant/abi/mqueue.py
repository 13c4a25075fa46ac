"""POSIX message queues: ``linux/mqueue.h``, ``asm-generic/siginfo.h``, and the magic number of their filesystem."""

from __future__ import annotations

import struct

MQUEUE_MAGIC = 0x19800202
#: the size that the kernel gives to every file of that filesystem (FILENT_SIZE)
FILE_SIZE = 80

SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD = 0, 1, 2

MQ_ATTR = 64
_ATTR = struct.Struct("=4q")
_SIGEVENT = struct.Struct("=QiI48x")


def pack_attr(maxmsg: int, msgsize: int) -> bytes:
    """``struct mq_attr`` for mq_open(2)."""
    return _ATTR.pack(0, maxmsg, msgsize, 0).ljust(MQ_ATTR, b"\0")


def unpack_attr(packed: bytes | bytearray) -> tuple[int, int, int]:
    """How many messages fit, how long they may be, how many there are."""
    _, maxmsg, msgsize, curmsgs = _ATTR.unpack_from(packed)
    return maxmsg, msgsize, curmsgs


def pack_sigevent(method: int, signal: int, value: int) -> bytes:
    """``struct sigevent`` for mq_notify(2)."""
    return _SIGEVENT.pack(value, signal, method)
