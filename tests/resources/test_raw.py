from __future__ import annotations

import array
import socket
import struct

import pytest
from facts import World

from replant.errors import Blocker

FAMILIES = [
    (socket.AF_INET, "127.0.0.1", socket.IPPROTO_ICMP),
    (socket.AF_INET6, "::1", socket.IPPROTO_ICMPV6),
]
PROTOCOL = 253  # for experiments: nobody sends any


def again(world: World, kind: str, *sockets: socket.socket) -> list[socket.socket]:
    files, fds = world.again(kind, *(s.detach() for s in sockets))
    world.unchanged(files, fds)
    return [socket.socket(fileno=fd) for fd in fds]


@pytest.mark.parametrize(("family", "host", "_"), FAMILIES)
def test_bound_and_connected(world: World, family: int, host: str, _: int) -> None:
    receiver, sender = (socket.socket(family, socket.SOCK_RAW, PROTOCOL) for _ in range(2))
    receiver.bind((host, 0))
    sender.connect((host, 0))
    receiver, sender = again(world, "raw", receiver, sender)
    sender.send(b"a packet")
    receiver.settimeout(60)
    assert receiver.recv(100).endswith(b"a packet")


def test_neither_with_headers_of_its_own(world: World) -> None:
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL)
    s.setsockopt(socket.IPPROTO_IP, 3, 1)  # IP_HDRINCL
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
    (s,) = again(world, "raw", s)
    assert s.getsockopt(socket.IPPROTO_IP, 3) == 1


@pytest.mark.parametrize(("family", "host", "protocol"), FAMILIES)
def test_filters_of_icmp(world: World, family: int, host: str, protocol: int) -> None:
    level, size = (255, 4) if family == socket.AF_INET else (protocol, 32)
    s = socket.socket(family, socket.SOCK_RAW, protocol)
    s.setsockopt(level, 1, b"\xff" * size)  # nothing passes
    (s,) = again(world, "raw", s)
    assert s.getsockopt(level, 1, size) == b"\xff" * size


def test_unread_packets_are_refused_and_stay(world: World) -> None:
    receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL) for _ in range(2))
    receiver.bind(("127.0.0.2", 0))
    sender.sendto(b"a packet", ("127.0.0.2", 0))
    with pytest.raises(Blocker, match="not yet read"):
        world.read("raw", receiver.fileno())
    assert receiver.recv(100).endswith(b"a packet")


def test_a_packet_filter(world: World) -> None:
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL)
    nothing = array.array("Q", [struct.unpack("=Q", struct.pack("=HBBI", 6, 0, 0, 0))[0]])
    s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("=H6xQ", 1, nothing.buffer_info()[0]))
    s.setsockopt(socket.SOL_SOCKET, 44, 1)  # SO_LOCK_FILTER
    files = world.read("raw", s.fileno())
    (fd,) = world.make(files)
    world.attach(files[0], fd)
    world.unchanged(files, [fd])
    with pytest.raises(PermissionError):
        socket.socket(fileno=fd).setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER
