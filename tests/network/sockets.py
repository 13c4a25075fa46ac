"""A program with one sort of internet sockets, ``sockets.py NAME…``: each part makes some and gives its check."""

from __future__ import annotations

import array
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable

import selfcheck

Check = Callable[[], None]
PLACES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::ffff:127.0.0.1")]
TCP, IP, IPV6, SOCKET = socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.SOL_SOCKET
ON_CONNECTIONS = [
    (SOCKET, socket.SO_KEEPALIVE, 1), (TCP, socket.TCP_KEEPIDLE, 33), (TCP, socket.TCP_KEEPINTVL, 34),
    (TCP, socket.TCP_KEEPCNT, 5), (TCP, socket.TCP_NODELAY, 1), (TCP, 18, 90_000), (TCP, 25, 16_384),
    (SOCKET, socket.SO_PRIORITY, 2), (SOCKET, socket.SO_MARK, 77), (SOCKET, socket.SO_RCVLOWAT, 3),
    (SOCKET, socket.SO_OOBINLINE, 1), (SOCKET, socket.SO_DONTROUTE, 1), (SOCKET, socket.SO_REUSEADDR, 1),
    (SOCKET, socket.SO_RCVBUF, 40_000), (SOCKET, socket.SO_SNDBUF, 50_000), (IP, socket.IP_TTL, 9),
    (IP, socket.IP_TOS, 16), (IP, 8, 1), (IP, 15, 1),
]  # fmt: skip
CLEARED = [(SOCKET, socket.SO_KEEPALIVE), (TCP, socket.TCP_NODELAY), (TCP, 3), (IP, 8), (IP, 15)]
LINGER, TIMES, NAMES = b"\1\0\0\0\5\0\0\0", struct.pack("=qq", 7, 0), b"lo\0"


def pair(family: int, host: str) -> tuple[socket.socket, socket.socket]:
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        near = socket.socket(family)
        near.connect((host, listener.getsockname()[1]))
        return near, listener.accept()[0]


def options() -> Check:
    """Of connections: set, and set and cleared again."""
    pairs = [pair(*place) for place in PLACES]
    for near, far in pairs:
        for level, option, value in ON_CONNECTIONS:
            near.setsockopt(level, option, value)
        near.setsockopt(SOCKET, socket.SO_LINGER, LINGER)
        near.setsockopt(SOCKET, socket.SO_RCVTIMEO, TIMES)
        near.setsockopt(SOCKET, socket.SO_BINDTODEVICE, NAMES)
        near.setsockopt(TCP, socket.TCP_CONGESTION, b"reno")
        for level, option in CLEARED:
            far.setsockopt(level, option, 1)
            far.setsockopt(level, option, 0)
    expected = [[near.getsockopt(level, option) for level, option, _ in ON_CONNECTIONS] for near, _ in pairs]

    def check() -> None:
        for (near, far), wanted in zip(pairs, expected, strict=True):
            assert [near.getsockopt(level, option) for level, option, _ in ON_CONNECTIONS] == wanted
            assert near.getsockopt(SOCKET, socket.SO_LINGER, 8) == LINGER
            assert near.getsockopt(SOCKET, socket.SO_RCVTIMEO, 16) == TIMES
            assert near.getsockopt(SOCKET, socket.SO_BINDTODEVICE, 16) == NAMES
            assert near.getsockopt(TCP, socket.TCP_CONGESTION, 16).startswith(b"reno\0")
            assert not any(far.getsockopt(level, option) for level, option in CLEARED)
            near.send(b"here")
            assert far.recv(10) == b"here"

    return check


def filters() -> Check:
    """A filter that lets nothing pass, then one that lets all pass."""
    nothing, everything = (array.array("Q", [6 | value << 32]) for value in (0, 0xFFFF))
    server, client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    server.bind(("127.0.0.1", 0))
    server.setsockopt(SOCKET, 26, struct.pack("=H6xQ", 1, nothing.buffer_info()[0]))
    near, far = pair(*PLACES[0])
    near.setsockopt(SOCKET, 26, struct.pack("=H6xQ", 1, everything.buffer_info()[0]))

    def check() -> None:
        client.sendto(b"x", server.getsockname())
        server.setblocking(False)
        try:
            raise AssertionError(f"{server.recv(10)!r} passed")
        except BlockingIOError:
            pass
        count = near.getsockopt(SOCKET, 26, 8)
        assert len(count) == 1, f"a filter of {len(count)} instructions"
        far.send(b"here")
        assert near.recv(10) == b"here"

    return check


def unconnected() -> Check:
    """New ones, bound ones: bound and connected after the restore."""
    tcp = [(socket.socket(family), host) for family, host in PLACES]
    bound = [(socket.socket(family), host) for family, host in PLACES]
    for sock, host in bound:
        sock.bind((host, 0))
    addresses = [sock.getsockname() for sock, _ in bound]

    def check() -> None:
        assert [sock.getsockname() for sock, _ in bound] == addresses
        for sock, host in tcp:
            if not sock.getsockname()[1]:
                sock.bind((host, 0))
                sock.listen()
        for (listener, host), (sock, _) in zip(tcp, bound, strict=True):
            try:
                sock.getpeername()
            except OSError:
                sock.connect((host, listener.getsockname()[1]))
                listener.accept()[0].detach()

    return check


def raw() -> Check:
    """Packets of a protocol for experiments, from a connected socket to a bound one."""
    pairs = []
    for number, (family, host) in enumerate(PLACES[:2]):
        receiver, sender = (socket.socket(family, socket.SOCK_RAW, 253 - number) for _ in range(2))
        receiver.bind((host, 0))
        sender.connect((host, 0))
        sender.setsockopt(SOCKET, socket.SO_RCVBUF, 1)
        sender.shutdown(socket.SHUT_RD)
        pairs.append((receiver, sender))

    def check() -> None:
        for receiver, sender in pairs:
            sender.send(b"a packet")
            assert receiver.recv(100).endswith(b"a packet")

    return check


def ping() -> Check:
    """Echoes of the loopback device."""
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
        file.write("0 0")
    four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
    four.bind(("127.0.0.1", 0))
    six.connect(("::1", 0))
    numbers = four.getsockname()[1], six.getsockname()[1]

    def check() -> None:
        four.sendto(b"\x08" + bytes(7), ("127.0.0.1", 0))
        six.send(b"\x80" + bytes(7))
        found = (int.from_bytes(sock.recv(100)[4:6], "big") for sock in (four, six))
        assert tuple(found) == numbers

    return check


def datagrams() -> Check:
    """UDP and UDP-Lite, where there is any; connected, and deaf or dumb."""
    trios = []
    for protocol in (17, 136):
        for family, host in PLACES[:2]:
            try:
                server, client, dumb = (socket.socket(family, socket.SOCK_DGRAM, protocol) for _ in range(3))
            except OSError:
                continue
            server.bind((host, 0))
            client.connect(server.getsockname())
            dumb.connect(server.getsockname())
            dumb.shutdown(socket.SHUT_WR)
            trios.append((server, client, dumb))

    def check() -> None:
        for server, client, dumb in trios:
            client.send(b"hello")
            assert server.recv(10) == b"hello"
            try:
                dumb.send(b"x")
                raise AssertionError("it is not shut")
            except BrokenPipeError:
                pass

    return check


def connecting() -> Check:
    """In SYN_SENT to the listener of another process, whose queue is full."""
    with open("port") as file:
        port = int(file.read())
    waiting = [socket.socket()]
    for sock in waiting:  # one alone: the second of two that get through at once is lost to the full queue
        sock.setblocking(False)
        assert sock.connect_ex(("127.0.0.1", port)) == 115, "it is connected at once"
        assert sock.getsockopt(TCP, socket.TCP_INFO, 1)[0] == 2, "it is not in SYN_SENT"
    names = [sock.getsockname() for sock in waiting]

    def check() -> None:
        assert [sock.getsockname() for sock in waiting] == names
        if os.path.exists("accepting"):
            for sock in waiting:
                sock.settimeout(60)
                sock.sendall(b"at last")
        else:
            assert all(sock.getsockopt(TCP, socket.TCP_INFO, 1)[0] == 2 for sock in waiting)

    return check


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    checks = [globals()[name]() for name in sys.argv[1:]]
    selfcheck.serve(lambda: [check() for check in checks] and None)


if __name__ == "__main__":
    main()
