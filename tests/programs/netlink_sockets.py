"""Episodes of netlink sockets."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import episodes

ROUTE, GENERIC, UEVENT = 0, 16, 15
SOL_NETLINK, SO_ATTACH_FILTER = 270, 26
GETLINK, DONE = 18, 3


def _interfaces(s: socket.socket) -> int:
    """How many interfaces the kernel tells of."""
    s.send(struct.pack("=IHHIIBxHiII", 32, GETLINK, 0x301, 7, 0, 0, 0, 0, 0, 0))
    found = 0
    while True:
        data = s.recv(1 << 16)
        at = 0
        while at < len(data):
            size, kind, _, sequence, port = struct.unpack_from("=IHHII", data, at)
            assert (sequence, port) == (7, s.getsockname()[0])
            if kind == DONE:
                return found
            found += 1
            at += size + 3 & ~3


def bound_and_asking(here: Path) -> Iterator[None]:
    asking, unbound = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ROUTE), socket.socket(socket.AF_NETLINK, 2, 0)
    asking.bind((0, 0))
    port = asking.getsockname()[0]
    chosen = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, ROUTE)
    chosen.bind((777, 0))
    assert _interfaces(asking) >= 1
    yield
    assert asking.getsockname() == (port, 0) and chosen.getsockname() == (777, 0)
    assert unbound.getsockname() == (0, 0)
    assert _interfaces(asking) == _interfaces(chosen) >= 1


def groups_and_options(here: Path) -> Iterator[None]:
    listening = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ROUTE)
    listening.bind((0, 1 | 1 << 4))  # links, addresses of IPv4
    for group in (9, 33):
        listening.setsockopt(SOL_NETLINK, 1, group)
    options = {3: 1, 4: 1, 5: 1, 10: 1, 11: 1, 12: 1}
    for option, value in options.items():
        listening.setsockopt(SOL_NETLINK, option, value)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 60_000)
    name, groups = listening.getsockname()
    members = listening.getsockopt(SOL_NETLINK, 9, 16)
    yield
    assert listening.getsockname() == (name, groups)
    assert listening.getsockopt(SOL_NETLINK, 9, 16) == members
    assert {o: listening.getsockopt(SOL_NETLINK, o) for o in options} == options
    assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 120_000
    _tell(True)
    listening.settimeout(60)
    data = listening.recv(1 << 16)
    assert struct.unpack_from("=H", data, 4)[0] in (16, 20), "news of a link or an address"
    _tell(False)
    listening.setblocking(False)
    try:
        while True:
            listening.recv(1 << 16)
    except BlockingIOError:
        pass


def _tell(up: bool) -> None:
    os.system(f"ip link set lo {'down' if up else 'up'}")


def between_programs(here: Path) -> Iterator[None]:
    a, b = (socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2) for _ in range(2))
    b.bind((4711, 0))
    a.connect((4711, 0))
    code = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 5))  # the first five bytes of everything
    b.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("=HxxxxxxQ", 1, ctypes.addressof(code)))
    yield
    a.send(b"hello, other")
    assert b.recvfrom(100) == (b"hello", a.getsockname()), "the filter is gone"
    assert a.getsockname()[0] not in (0, 4711)


if __name__ == "__main__":
    episodes.serve(episodes.all_of(globals()))
