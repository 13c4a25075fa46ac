"""epoll_ctl(2), and kcmp(2) of a target: ``linux/eventpoll.h``, ``linux/kcmp.h``."""

from __future__ import annotations

import struct

EPOLL_CTL_ADD = 1
EPOLL_CTL_DEL = 2
EPOLLIN = 0x001
EPOLLPRI = 0x002
EPOLLOUT = 0x004
EPOLLERR = 0x008
EPOLLHUP = 0x010
EPOLLRDNORM = 0x040
EPOLLWRNORM = 0x100
EPOLLRDHUP = 0x2000
EPOLLEXCLUSIVE = 1 << 28
EPOLLWAKEUP = 1 << 29
EPOLLONESHOT = 1 << 30
EPOLLET = 1 << 31
#: Input flags; all other bits are events. An entry disarmed after one shot has no other bit (EP_PRIVATE_BITS).
PRIVATE = EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET

KCMP_EPOLL_TFD = 7


def pack_event(events: int, data: int) -> bytes:
    """``struct epoll_event``, packed on x86-64."""
    return struct.pack("<IQ", events, data)


def pack_slot(epoll_fd: int, target_fd: int, nth: int) -> bytes:
    """``struct kcmp_epoll_slot``: the ``nth`` target that was added under that number."""
    return struct.pack("=III", epoll_fd, target_fd, nth)
