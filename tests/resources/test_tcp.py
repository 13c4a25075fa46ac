from __future__ import annotations

import array
import ctypes
import os
import socket

import pytest
from facts import World, differences, module_of

from replant.errors import Blocker

FAMILIES = [
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET6, "::1"),
    (socket.AF_INET, "0.0.0.0"),
    (socket.AF_INET6, "::"),
]


def listener(family: int = socket.AF_INET, host: str = "127.0.0.1", backlog: int = 5) -> socket.socket:
    s = socket.socket(family)
    s.bind((host, 0))
    s.listen(backlog)
    return s


def again(world: World, *sockets: socket.socket) -> list[socket.socket]:
    files, fds = world.again("tcp", *(s.detach() for s in sockets))
    world.unchanged(files, fds)
    return [socket.socket(fileno=fd) for fd in fds]


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_listening(world: World, family: int, host: str) -> None:
    s = listener(family, host, backlog=3)
    address = s.getsockname()
    (s,) = again(world, s)
    assert s.getsockname() == address
    with socket.create_connection(("localhost" if host in ("::", "0.0.0.0") else host, address[1]), timeout=60) as c:
        server, _ = s.accept()
        server.send(b"hello")
        assert c.recv(10) == b"hello"
        server.close()


def test_v6_only_lets_v4_have_the_port(world: World) -> None:
    s6 = socket.socket(socket.AF_INET6)
    s6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s6.bind(("::", 0))
    s6.listen()
    s4 = socket.socket()
    s4.bind(("0.0.0.0", s6.getsockname()[1]))
    s4.listen()
    again(world, s6, s4)


def test_two_listeners_of_one_port(world: World) -> None:
    a, b = socket.socket(), socket.socket()
    for s in (a, b):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", a.getsockname()[1] if s is b else 0))
        s.listen()
    a, b = again(world, a, b)
    assert a.getsockname() == b.getsockname()


def test_an_address_that_connections_still_occupy(world: World) -> None:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    s.listen()
    with socket.create_connection(s.getsockname()):
        s.accept()[0].close()  # the server closes first: TIME_WAIT is on its side
    again(world, s)


def test_options(world: World) -> None:
    s = socket.socket(socket.AF_INET6)
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 30_000),
        (socket.SOL_SOCKET, socket.SO_PRIORITY, 2),
        (socket.SOL_SOCKET, socket.SO_MARK, 77),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 33),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 34),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
        (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 7),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 9000),
        (socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 4),
        (socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000),
        (socket.IPPROTO_IP, socket.IP_TTL, 9),
        (socket.IPPROTO_IP, socket.IP_TOS, 16),
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 11),
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 12),
    ]
    for level, option, value in options:
        s.setsockopt(level, option, value)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\5\0\0\0")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    s.bind(("::1", 0))
    s.listen()
    expected = [s.getsockopt(level, option) for level, option, _ in options]
    (s,) = again(world, s)
    assert [s.getsockopt(level, option) for level, option, _ in options] == expected
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\5\0\0\0"
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"
    assert s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).startswith(b"reno\0")


def test_free_bind_cleared_after_binding_a_foreign_address(world: World) -> None:
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
    s.bind(("198.51.100.7", 0))
    s.setsockopt(socket.IPPROTO_IP, 15, 0)
    address = s.getsockname()
    (s,) = again(world, s)
    assert (s.getsockname(), s.getsockopt(socket.IPPROTO_IP, 15)) == (address, 0)


@pytest.mark.parametrize("bound", [False, True])
def test_not_yet_listening(world: World, bound: bool) -> None:
    s = socket.socket()
    if bound:
        s.bind(("127.0.0.1", 0))
    (s,) = again(world, s)
    if not bound:
        s.bind(("127.0.0.1", 0))
    s.listen()
    socket.create_connection(s.getsockname(), timeout=60).close()


def refused(world: World, s: socket.socket, words: str) -> None:
    with pytest.raises(Blocker, match=words):
        world.read("tcp", s.fileno())


def test_a_pending_error_is_refused(world: World) -> None:
    with listener() as s, socket.create_connection(s.getsockname()) as client:
        server, _ = s.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        refused(world, server, "an error is pending")
        server.close()


def test_waiting_connections_are_refused_or_skipped(world: World) -> None:
    s = listener()
    address = s.getsockname()
    client = socket.create_connection(address)
    refused(world, s, "wait to be accepted")
    world.choices["pending"] = "skip"
    (s,) = again(world, s)
    client.close()
    assert s.getsockname() == address


def test_a_packet_filter(world: World) -> None:
    accept_all = array.array("H", [6, 0, 0xFFFF, 0])
    with listener() as s:
        pointer = accept_all.buffer_info()[0]
        s.setsockopt(socket.SOL_SOCKET, 26, (1).to_bytes(8, "little") + pointer.to_bytes(8, "little"))
        files = world.read("tcp", s.fileno())
    (fd,) = world.make(files)
    world.attach(files[0], fd)
    world.unchanged(files, [fd])
    os.close(fd)


def test_another_network_namespace_is_refused(world: World) -> None:
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None)
    if libc.unshare(0x40000000):
        pytest.skip("may not make a network namespace")
    s = socket.socket()
    libc.setns(home, 0)
    os.close(home)
    refused(world, s, "network namespace")


def test_multipath_is_not_claimed(world: World) -> None:
    try:
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError:
        pytest.skip("no multipath TCP here")
    with s:
        assert not module_of("tcp").claims(world.facts(s.fileno())[0])


def test_same_ignores_sizes_that_the_kernel_chose(world: World) -> None:
    with listener() as s:
        (file,) = world.read("tcp", s.fileno())
    state = file.state
    other = state.socket._replace(buffers=state.socket.buffers._replace(receive=1))
    assert differences(module_of("tcp"), state, state._replace(socket=other)) == []
    chosen = other._replace(buffers=other.buffers._replace(chosen=2))
    assert differences(module_of("tcp"), state, state._replace(socket=chosen)) != []
