"""A program that holds one socket that cannot be kept, ``held.py NAME``, and checks that it works as ever."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable

import selfcheck
from sockets import SOCKET, TCP, pair

Check = Callable[[], None]
HERE = ("127.0.0.1", 0)


def connection() -> tuple[socket.socket, socket.socket, Check]:
    near, far = pair(socket.AF_INET, HERE[0])

    def check() -> None:
        near.send(b"there")
        assert far.recv(10) == b"there"

    return near, far, check


def urgent() -> Check:
    _, far, check = connection()
    far.send(b"!", socket.MSG_OOB)
    return check


def peek_offset() -> Check:
    near, _, check = connection()
    near.setsockopt(SOCKET, 42, 3)
    return check


def zero_copy() -> Check:
    near, _, check = connection()
    near.setsockopt(SOCKET, 60, 1)
    return check


def signed() -> Check:
    """TCP_MD5SIG: struct tcp_md5sig has the peer's address, the length of the key, and the key."""
    with socket.socket() as listener:
        listener.bind(HERE)
        key = struct.pack("=H2x4s120xBBHI80s", socket.AF_INET, socket.inet_aton(HERE[0]), 0, 0, 3, 0, b"key")
        listener.setsockopt(TCP, 14, key)
        listener.listen()
        near = socket.socket()
        near.setsockopt(TCP, 14, key)
        near.connect(listener.getsockname())
        far, _ = listener.accept()

    def check() -> None:
        near.send(b"there")
        assert far.recv(10) == b"there"

    return check


def saved_syn() -> Check:
    with socket.socket() as listener:
        listener.setsockopt(TCP, 27, 1)
        listener.bind(HERE)
        listener.listen()
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()

    def check() -> None:
        near.send(b"there")
        assert far.recv(10) == b"there"

    return check


def pending_error() -> Check:
    near, far, _ = connection()
    far.setsockopt(SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    far.close()
    return lambda: near.fileno() and None


def not_accepted() -> Check:
    listener = socket.create_server(HERE)
    near = socket.create_connection(listener.getsockname())

    def check() -> None:
        assert near.send(b"there") == 5 and listener.fileno() > 0

    return check


def multipath() -> Check:
    listener, near = (socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) for _ in range(2))
    listener.bind(HERE)
    listener.listen()
    near.connect(listener.getsockname())
    far, _ = listener.accept()

    def check() -> None:
        near.send(b"there")
        assert far.recv(10) == b"there"

    return check


def datagrams() -> tuple[socket.socket, socket.socket]:
    server, client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    server.bind(HERE)
    client.connect(server.getsockname())
    return server, client


def unread_datagram() -> Check:
    server, client = datagrams()

    def check() -> None:
        client.send(b"there")
        assert server.recv(10) == b"there"

    client.send(b"there")
    return check


def corked_datagram() -> Check:
    server, client = datagrams()
    client.setsockopt(socket.IPPROTO_UDP, 1, 1)
    client.send(b"part")

    def check() -> None:
        client.send(b"s")
        client.setsockopt(socket.IPPROTO_UDP, 1, 0)
        assert server.recv(10) == b"parts"

    return check


def multicast() -> Check:
    server, _ = datagrams()
    group = socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1")
    server.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    return lambda: server.fileno() and None


def vsock() -> Check:
    held = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    return lambda: held.fileno() and None


def main() -> None:
    selfcheck.serve(globals()[sys.argv[1]]())


if __name__ == "__main__":
    main()
