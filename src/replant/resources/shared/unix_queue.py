"""What is queued in a unix socket, read without taking it out: bytes, boundaries, senders, credentials, descriptors.

The program's socket is changed for the moment of reading: its peek offset (SO_PEEK_OFF) moves, and it asks for
credentials (SO_PASSCRED), which also keeps apart what different processes have written into a stream.
"""

from __future__ import annotations

import os

from replant.abi import libc, socket, unix, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from replant.abi.unix import Received
    from replant.resources.protocol import FileFacts

_EAGAIN, _EINVAL, _ENOTCONN = 11, 22, 107
_BUFFER = 1 << 18
_PEEK = socket.MSG_PEEK | socket.MSG_TRUNC | socket.MSG_DONTWAIT
_NOBODY = (0, 0, 0)


class Message(Frozen):
    """A datagram, or a stretch of a stream that was written by one process and carries the same descriptors.

    ``sender`` is the name of a datagram's sender (sun_path), empty for one without name. ``credentials`` are pid, uid
    and gid that travel with it, zeros if none do, ``files`` the numbers of the descriptions that do.
    """

    data: bytes
    sender: bytes
    credentials: tuple[int, int, int] = _NOBODY
    files: tuple[int, ...] = ()


def read(f: FileFacts, type_: int, ends: bool, received: Callable[[int, FileFacts], int]) -> tuple[Message, ...]:
    """All that is queued; ``ends``: the receiving side is shut down, so that an empty queue reads as end of file.

    ``received`` gives the number of a description that was in flight.
    """
    fd = f.grab()
    if type_ == socket.SOCK_STREAM and not socket.queued(fd):
        return ()
    asked = socket.number(fd, socket.SOL_SOCKET, socket.SO_PASSCRED)
    offset = socket.number(fd, socket.SOL_SOCKET, socket.SO_PEEK_OFF)
    _set(fd, socket.SO_PASSCRED, 1)
    try:
        if type_ == socket.SOCK_STREAM:
            return tuple(_stream(_Reader(f, received), socket.queued(fd)))
        return tuple(_datagrams(_Reader(f, received), ends and type_ == socket.SOCK_SEQPACKET))
    finally:
        _set(fd, socket.SO_PEEK_OFF, offset)
        _set(fd, socket.SO_PASSCRED, asked)


class _Reader:
    """Peeks at any place of a queue."""

    def __init__(self, f: FileFacts, received: Callable[[int, FileFacts], int]) -> None:
        self.f = f
        self._fd = f.grab()
        self._received = received

    def message(self, offset: int, size: int) -> Message | None:
        """What one recvmsg(2) would give at ``offset``; -1: the first message, even one without bytes."""
        got = self._peek(offset, size)
        if got is None:
            return None
        pid, uid, gid = got.numbers(unix.SCM_CREDENTIALS) or _NOBODY
        files = tuple(self._received(fd, self.f) for fd in got.numbers(unix.SCM_RIGHTS))
        return Message(got.data, got.sender, (pid, uid, gid) if pid else _NOBODY, files)

    def plain(self, offset: int, size: int) -> int:
        """How many of ``size`` bytes stand before those that carry descriptors, with which a look ends."""
        _set(self._fd, socket.SO_PEEK_OFF, offset)
        return unix.before_last(self._fd, size, _PEEK)

    def _peek(self, offset: int, size: int) -> Received | None:
        _set(self._fd, socket.SO_PEEK_OFF, offset)
        got = unix.receive(self._fd, size, _PEEK)
        if isinstance(got, int):
            if got in (-_EAGAIN, -_EINVAL, -_ENOTCONN):
                return None
            raise OSError(-got, "peek at the queue of a unix socket")
        for fd in got.numbers(unix.SCM_PIDFD):
            if fd >= 0:
                os.close(fd)
        return got


def _datagrams(reader: _Reader, ends: bool) -> Iterator[Message]:
    offset = 0
    message = reader.message(-1, _BUFFER)
    while message is not None and not (ends and not message.data):
        yield message
        offset += len(message.data)
        message = reader.message(offset, _BUFFER)


def _stream(reader: _Reader, size: int) -> Iterator[Message]:
    """One look ends behind bytes that carry descriptors, or where another process has written."""
    offset = 0
    while offset < size:
        message = reader.message(offset, size - offset)
        if message is None or not message.data:
            raise refuse(reader.f, "its queued data cannot be read without taking it out", "let the program read it")
        plain = reader.plain(offset, len(message.data)) if message.files else 0
        if plain:
            yield message._replace(data=message.data[:plain], files=())
        yield message._replace(data=message.data[plain:])
        offset += len(message.data)


def _set(fd: int, option: int, value: int) -> None:
    data = (value & 0xFFFFFFFF).to_bytes(4, "little")
    libc.syscall(x86_64.setsockopt, fd, socket.SOL_SOCKET, option, data, 4)
