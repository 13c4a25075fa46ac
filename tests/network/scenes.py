"""Scenes of a TCP connection: what is done to its near end and its far end before the dump, and what is seen after.

The near end belongs to the tree. The far end does too, or it is the test's own: `far_end.py` plays it then.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator

States = {"ESTABLISHED": 1, "SYN_SENT": 2, "FIN_WAIT1": 4, "FIN_WAIT2": 5, "CLOSE": 7, "CLOSE_WAIT": 8, "LAST_ACK": 9,
          "CLOSING": 11}  # fmt: skip
#: What a scene does: up to its first ``yield`` for the dump, from there on after each restore.
Acts = Iterator[None]
Scene = Callable[[socket.socket, socket.socket], Acts]
LIMIT = 60.0


def state(sock: socket.socket) -> str:
    number = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return next((name for name, value in States.items() if value == number), str(number))


def until(sock: socket.socket, wanted: str) -> None:
    deadline = time.monotonic() + LIMIT
    while state(sock) != wanted:
        assert time.monotonic() < deadline, f"{state(sock)}, not {wanted}"
        time.sleep(0.001)


def fill(sock: socket.socket) -> bytes:
    """Send until nothing more is taken; what was sent."""
    sent, sock_timeout = bytearray(), sock.gettimeout()
    sock.settimeout(0.1)
    try:
        while True:
            chunk = struct.pack("=1024Q", *range(len(sent), len(sent) + 1024))
            sent += chunk[: sock.send(chunk)]
    except TimeoutError:
        sock.settimeout(sock_timeout)
        return bytes(sent)


def get(sock: socket.socket, wanted: bytes, *, end: bool = False) -> None:
    """Receive exactly this, and then the end."""
    found = bytearray()
    while len(found) < len(wanted):
        part = sock.recv(1 << 16)
        assert part, f"the end came after {len(found)} bytes of {len(wanted)}"
        found += part
    assert bytes(found) == wanted, f"{len(found)} bytes, others than the {len(wanted)} that were sent"
    if end:
        assert sock.recv(1) == b"", "more came than was sent"


def established(near: socket.socket, far: socket.socket) -> Acts:
    while True:
        yield
        near.sendall(b"there")
        get(far, b"there")
        far.sendall(b"and back")
        get(near, b"and back")
        assert state(near) == "ESTABLISHED"


def full_queues(near: socket.socket, far: socket.socket) -> Acts:
    there, back = fill(near), fill(far)
    yield
    assert state(near) == "ESTABLISHED"
    get(far, there)
    get(near, back)
    yield from established(near, far)


def full_queues_of_chosen_sizes(near: socket.socket, far: socket.socket) -> Acts:
    for sock in (near, far):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 30_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)
    sizes = near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF), near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    for _ in full_queues(near, far):
        yield
        now = near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF), near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert now == sizes, f"{now}, not {sizes}"


def close_wait(near: socket.socket, far: socket.socket) -> Acts:
    far.sendall(b"the last words")
    far.shutdown(socket.SHUT_WR)
    until(near, "CLOSE_WAIT")
    yield
    assert state(near) == "CLOSE_WAIT", state(near)
    get(near, b"the last words", end=True)
    near.sendall(b"an answer")
    get(far, b"an answer")
    while True:
        yield
        assert state(near) == "CLOSE_WAIT", state(near)
        near.sendall(b"more")
        get(far, b"more")


def fin_wait1(near: socket.socket, far: socket.socket) -> Acts:
    sent = fill(near)
    near.shutdown(socket.SHUT_WR)
    until(near, "FIN_WAIT1")
    yield
    assert state(near) == "FIN_WAIT1", state(near)
    get(far, sent, end=True)
    until(near, "FIN_WAIT2")
    far.sendall(b"heard")
    get(near, b"heard")
    yield from _fin_wait2(near, far)


def fin_wait2(near: socket.socket, far: socket.socket) -> Acts:
    near.sendall(b"the last words")
    near.shutdown(socket.SHUT_WR)
    until(near, "FIN_WAIT2")
    yield
    until(near, "FIN_WAIT2")  # the peer has told once more that it knows
    get(far, b"the last words", end=True)
    far.sendall(b"heard")
    get(near, b"heard")
    yield from _fin_wait2(near, far)


def _fin_wait2(near: socket.socket, far: socket.socket) -> Acts:
    while True:
        yield
        far.sendall(b"more")
        get(near, b"more")


def last_ack(near: socket.socket, far: socket.socket) -> Acts:
    far.shutdown(socket.SHUT_WR)
    until(near, "CLOSE_WAIT")
    sent = fill(near)
    near.shutdown(socket.SHUT_WR)
    until(near, "LAST_ACK")
    yield
    assert state(near) == "LAST_ACK", state(near)
    assert near.recv(1) == b""
    get(far, sent, end=True)
    until(near, "CLOSE")
    yield from _over(near)


def closing(near: socket.socket, far: socket.socket) -> Acts:
    sent = fill(near)
    near.shutdown(socket.SHUT_WR)
    far.sendall(b"the last words")
    far.shutdown(socket.SHUT_WR)
    until(near, "CLOSING")
    yield
    assert state(near) == "CLOSING", state(near)
    get(near, b"the last words", end=True)
    get(far, sent, end=True)
    until(near, "CLOSE")
    yield from _over(near)


def closed_by_both(near: socket.socket, far: socket.socket) -> Acts:
    near.shutdown(socket.SHUT_WR)
    until(near, "FIN_WAIT2")
    far.close()
    until(near, "CLOSE")
    yield from _over(near)


def reset(near: socket.socket, far: socket.socket) -> Acts:
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    far.close()
    until(near, "CLOSE")
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 104  # ECONNRESET, taken away so
    yield from _over(near)


def _over(near: socket.socket) -> Acts:
    while True:
        yield
        assert state(near) == "CLOSE", state(near)
        assert near.recv(10) == b""
        try:
            near.send(b"x")
            raise AssertionError("it takes data")
        except BrokenPipeError:
            pass


def will_not_read(near: socket.socket, far: socket.socket) -> Acts:
    near.shutdown(socket.SHUT_RD)
    while True:
        yield
        assert near.recv(1) == b""
        near.sendall(b"there")
        get(far, b"there")


def corked(near: socket.socket, far: socket.socket) -> Acts:
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    near.sendall(b"held back")
    yield
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 1
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    get(far, b"held back")
    yield from established(near, far)


SCENES: list[Scene] = [
    established, full_queues, full_queues_of_chosen_sizes, close_wait, fin_wait1, fin_wait2, last_ack, closing,
    closed_by_both, reset, will_not_read, corked,
]  # fmt: skip
