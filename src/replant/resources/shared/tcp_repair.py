"""What only TCP_REPAIR tells of a connection: sequence numbers, the queue of unacknowledged data, windows.

A socket under repair answers its program with errors and loses what it was set to (SO_REUSEADDR), so it is repaired for
some microseconds only, while its program is stopped, and by a process that does not die with the dump: a child in a
session of its own, deaf to signals. It begins with no further socket once its parent is gone.
"""

from __future__ import annotations

import marshal
import os

from replant.abi import inet, libc, socket, x86_64
from replant.errors import Blocker, ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_SIG_SETMASK = 2
_ALL = b"\xff" * 8
_WINDOW = 20
_SLACK = 1 << 17  # a segment of which a part is acknowledged stays in the queue as a whole


class Repaired:
    """A socket's MSS as negotiated, both sequence numbers, windows (struct tcp_repair_window), clock, data to send.

    ``write`` is the number after the last byte to send, ``read`` the next one that is expected; each counts a FIN that
    was sent or received. ``outstanding`` and ``unsent`` are bytes not acknowledged, and not yet sent, FIN included.
    """

    __slots__ = ("clock", "data", "mss", "outstanding", "read", "unsent", "window", "write")

    def __init__(
        self, mss: int, write: int, read: int, window: bytes, clock: int, outstanding: int, unsent: int, data: bytes
    ) -> None:
        self.mss, self.write, self.read, self.window, self.clock = mss, write, read, window, clock
        self.outstanding, self.unsent, self.data = outstanding, unsent, data


def examine(fds: Sequence[int]) -> list[Repaired]:
    """Each of these sockets, which nobody uses meanwhile.

    :raises Blocker: we may not repair. :raises ReplantError: the child was killed.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(reading)  # or it would wait for itself to read, once the parent is dead
        _work(fds, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    if not data:
        raise ReplantError("the process that looks at TCP connections was killed", code="killed", hint="try again")
    found = marshal.loads(data)
    if isinstance(found, int):
        raise _refused(found)
    return [Repaired(*row) for row in found]


def _work(fds: Sequence[int], writing: int) -> NoReturn:
    """In the child."""
    try:
        parent = os.getppid()
        libc.syscall(x86_64.rt_sigprocmask, _SIG_SETMASK, _ALL, 0, 8)
        os.setsid()
        rows: list[tuple[object, ...]] | int | None = []
        try:
            rows = [_one(fd) for fd in fds if os.getppid() == parent]
        except OSError as error:
            rows = error.errno
        with open(writing, "wb") as pipe:
            pipe.write(marshal.dumps(rows))
    finally:
        os._exit(0)


def _one(fd: int) -> tuple[object, ...]:
    reuse = socket.number(fd, socket.SOL_SOCKET, socket.SO_REUSEADDR)
    outstanding = socket.queued(fd, socket.SIOCOUTQ)
    buffer = bytearray(outstanding + _SLACK if outstanding else 0)  # beforehand: it takes time
    put(fd, inet.TCP_REPAIR, inet.REPAIR_ON)
    try:
        mss = socket.number(fd, inet.IPPROTO_TCP, inet.TCP_MAXSEG)
        clock = socket.number(fd, inet.IPPROTO_TCP, inet.TCP_TIMESTAMP)
        window = socket.get(fd, inet.IPPROTO_TCP, inet.TCP_REPAIR_WINDOW, _WINDOW) or b""
        read = _sequence(fd, inet.RECEIVE_QUEUE)
        write = _sequence(fd, inet.SEND_QUEUE)
        outstanding = socket.queued(fd, socket.SIOCOUTQ)
        unsent = socket.queued(fd, socket.SIOCOUTQNSD)
        size = peek(fd, buffer) if outstanding else 0
    finally:
        put(fd, inet.TCP_REPAIR, inet.REPAIR_OFF_QUIET)
        if reuse:
            put(fd, socket.SO_REUSEADDR, 1, socket.SOL_SOCKET)
    return mss, write, read, window, clock & 0xFFFFFFFF, outstanding, unsent, bytes(buffer[:size])


def _sequence(fd: int, queue: int) -> int:
    put(fd, inet.TCP_REPAIR_QUEUE, queue)
    return socket.number(fd, inet.IPPROTO_TCP, inet.TCP_QUEUE_SEQ) & 0xFFFFFFFF


def put(fd: int, option: int, value: int, level: int = inet.IPPROTO_TCP) -> None:
    """Set an option that is an int."""
    libc.syscall(x86_64.setsockopt, fd, level, option, value.to_bytes(4, "little", signed=True), 4)


def peek(fd: int, buffer: bytearray) -> int:
    """Copy what is queued, leaving it there; how much it is."""
    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
    return libc.syscall(x86_64.recvfrom, fd, buffer, len(buffer), flags, 0, 0)


def _refused(error: int) -> Blocker:
    return Blocker(
        f"TCP connections cannot be looked at (TCP_REPAIR): {os.strerror(error)}",
        code="tcp-repair",
        resource="TCP_REPAIR",
        hint="run as root, or with CAP_NET_ADMIN in the network namespace of the program",
    )
