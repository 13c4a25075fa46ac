"""What is queued in a unix socket, read without taking it out."""

from __future__ import annotations

from replant.abi import libc, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from replant.resources.protocol import FileFacts

_EAGAIN, _EINVAL, _ENOTCONN = 11, 22, 107
_BUFFER = 1 << 18
_PEEK = socket.MSG_PEEK | socket.MSG_TRUNC | socket.MSG_DONTWAIT


class Message(Frozen):
    """``sender`` is the name of a datagram's sender (sun_path), empty for one without name."""

    data: bytes
    sender: bytes


def read(f: FileFacts, type_: int, ends: bool) -> tuple[Message, ...]:
    """All that is queued; ``ends``: the receiving side is shut down, so that an empty queue reads as end of file.

    A stream gives one message. For datagrams the peek offset (SO_PEEK_OFF) of the program's socket is moved for the
    moment: it matters to nobody who does not peek, and is off again afterwards.
    """
    if type_ == socket.SOCK_STREAM:
        size = socket.queued(f.grab())
        message = _peek(f.grab(), size) if size else None
        if message is not None and len(message.data) != size:
            raise refuse(f, "its queued data cannot be read without taking it out", "let the program read it")
        return () if message is None else (Message(message.data, b""),)
    return tuple(_datagrams(f.grab(), ends and type_ == socket.SOCK_SEQPACKET))


def _datagrams(fd: int, ends: bool) -> Iterator[Message]:
    message = _peek(fd, _BUFFER)
    if message is None or (ends and not message.data):
        return
    offset = 0
    try:
        while message is not None and not (ends and not message.data):
            yield message
            offset += len(message.data)
            _set_offset(fd, offset)
            message = _peek(fd, _BUFFER)
    finally:
        _set_offset(fd, -1)


def _set_offset(fd: int, offset: int) -> None:
    value = (offset & 0xFFFFFFFF).to_bytes(4, "little")
    libc.syscall(x86_64.setsockopt, fd, socket.SOL_SOCKET, socket.SO_PEEK_OFF, value, 4)


def _peek(fd: int, size: int) -> Message | None:
    buffer, sender = bytearray(size), bytearray(110)
    length = bytearray((110).to_bytes(4, "little"))
    got = libc.syscall_raw(x86_64.recvfrom, fd, buffer, size, _PEEK, sender, length)
    if got in (-_EAGAIN, -_EINVAL, -_ENOTCONN):
        return None
    if got < 0 or got > size:
        raise OSError(-got if got < 0 else _EINVAL, "peek at the queue of a unix socket")
    return Message(bytes(buffer[:got]), bytes(sender[2 : int.from_bytes(length, "little")]))
