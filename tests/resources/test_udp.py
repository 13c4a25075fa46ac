from __future__ import annotations

import socket
import struct

import pytest
from facts import World, module_of

from replant.errors import Blocker

FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


def again(world: World, *sockets: socket.socket) -> list[socket.socket]:
    files, fds = world.again("udp", *(s.detach() for s in sockets))
    world.unchanged(files, fds)
    return [socket.socket(fileno=fd) for fd in fds]


def pair(family: int, host: str) -> tuple[socket.socket, socket.socket]:
    """A bound socket, and one that is connected to it."""
    server, client = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
    server.bind((host, 0))
    client.connect(server.getsockname())
    return server, client


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_bound_and_connected(world: World, family: int, host: str) -> None:
    server, client = pair(family, host)
    addresses = server.getsockname(), client.getsockname()
    server, client = again(world, server, client)
    assert (server.getsockname(), client.getsockname()) == addresses
    client.send(b"hello")
    assert server.recv(10) == b"hello"


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_neither(world: World, family: int, host: str) -> None:
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    (s,) = again(world, s)
    s.bind((host, 0))


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
def test_shut_down_directions(world: World, how: int) -> None:
    server, client = pair(*FAMILIES[0])
    client.shutdown(how)
    _, client = again(world, server, client)
    if how != socket.SHUT_RD:
        with pytest.raises(BrokenPipeError):
            client.send(b"x")


def refused(world: World, s: socket.socket, words: str) -> None:
    with pytest.raises(Blocker, match=words):
        world.read("udp", s.fileno())


def test_unread_datagrams_are_refused_and_stay(world: World) -> None:
    server, client = pair(*FAMILIES[0])
    client.send(b"")
    refused(world, server, "not yet read")
    client.send(b"data")
    assert (server.recv(10), server.recv(10)) == (b"", b"data")


def test_a_pending_error_is_refused(world: World) -> None:
    server, client = pair(*FAMILIES[0])
    server.close()
    client.send(b"x")
    refused(world, client, "error")


def test_a_corked_datagram_is_refused(world: World) -> None:
    _, client = pair(*FAMILIES[0])
    client.setsockopt(socket.IPPROTO_UDP, 1, 1)
    client.send(b"part")
    refused(world, client, "corked")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_multicast_membership_is_refused(world: World, family: int) -> None:
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET:
        group = socket.inet_aton("239.1.2.3") + bytes(4) + struct.pack("=i", socket.if_nametoindex("lo"))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    else:
        group = socket.inet_pton(family, "ff02::1234") + struct.pack("=I", socket.if_nametoindex("lo"))
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    refused(world, s, "multicast")
    with socket.socket(family, socket.SOCK_DGRAM) as other:
        again(world, other)


def test_lite_is_kept_where_the_kernel_has_it(world: World) -> None:
    try:
        server, client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136) for _ in range(2))
    except OSError:
        pytest.skip("no UDP-Lite here")
    server.bind(("127.0.0.1", 0))
    client.connect(server.getsockname())
    client.setsockopt(136, 10, 20)  # UDPLITE_SEND_CSCOV
    server, client = again(world, server, client)
    client.send(b"hello")
    assert server.recv(10) == b"hello"
    assert client.getsockopt(136, 10) == 20


def test_icmp_is_not_claimed(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) as s:
        assert not module_of("udp").claims(world.facts(s.fileno())[0])
