"""Socket options: those in which a socket differs from a new one of its kind."""

from __future__ import annotations

from replant.abi import libc, socket, x86_64
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.abi.call import Slot, Track

    Known = tuple[tuple[int, int, int], ...]

_TIMEVAL = 16
#: level, option, size in bytes: what any socket may have
GENERAL: Known = (
    *[(socket.SOL_SOCKET, option, 4) for option in (
        socket.SO_REUSEADDR, socket.SO_DONTROUTE, socket.SO_BROADCAST, socket.SO_KEEPALIVE, socket.SO_OOBINLINE,
        socket.SO_NO_CHECK, socket.SO_PRIORITY, socket.SO_REUSEPORT, socket.SO_PASSCRED, socket.SO_RCVLOWAT,
        socket.SO_TIMESTAMP, socket.SO_PASSSEC, socket.SO_TIMESTAMPNS, socket.SO_MARK, socket.SO_TIMESTAMPING,
        socket.SO_RXQ_OVFL, socket.SO_PEEK_OFF, socket.SO_SELECT_ERR_QUEUE, socket.SO_BUSY_POLL,
        socket.SO_ZEROCOPY, socket.SO_PREFER_BUSY_POLL, socket.SO_RCVMARK, socket.SO_PASSPIDFD,
        socket.SO_PASSRIGHTS,
    )],
    (socket.SOL_SOCKET, socket.SO_LINGER, 8),
    (socket.SOL_SOCKET, socket.SO_MAX_PACING_RATE, 8),
    (socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL),
    (socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL),
    (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16),
)  # fmt: skip
#: a new socket's values by family, type and protocol: constants of the running kernel, so read once
_new: dict[object, dict[tuple[int, int], bytes | None]] = {}


class Option(Frozen):
    """``value`` as getsockopt(2) gives it and setsockopt(2) takes it."""

    level: int
    option: int
    value: bytes


class Buffers(Frozen):
    """Bytes as SO_SNDBUF and SO_RCVBUF give them, and which of them the program chose (SO_BUF_LOCK)."""

    send: int
    receive: int
    chosen: int


def read(fd: int, kind: tuple[int, int, int], known: Known = GENERAL) -> tuple[Option, ...]:
    """The options of socket ``fd`` that a new one of this (family, type, protocol) would not have."""
    if (kind, known) not in _new:
        other = libc.syscall(x86_64.socket, *kind)
        try:
            _new[kind, known] = {(level, name): socket.get(other, level, name, size) for level, name, size in known}
        finally:
            libc.syscall(x86_64.close, other)
    usual = _new[kind, known]
    found = []
    for level, option, size in known:
        value = socket.get(fd, level, option, size)
        if value is not None and value != usual[level, option]:
            found.append(Option(level, option, value))
    return tuple(found)


def buffers(fd: int) -> Buffers:
    """Sizes of both buffers."""
    return Buffers(*[socket.number(fd, socket.SOL_SOCKET, o) for o in (
        socket.SO_SNDBUF, socket.SO_RCVBUF, socket.SO_BUF_LOCK,
    )])  # fmt: skip


def put(on: Track, fd: Slot | int, options: Iterable[Option], why: str = "socket option") -> None:
    """Set them again."""
    for o in options:
        on.call(x86_64.setsockopt, fd, o.level, o.option, o.value, len(o.value), why=why)


def put_buffers(on: Track, fd: Slot | int, kept: Buffers, always: bool = False) -> None:
    """Give the buffers their sizes; a size that the kernel chose is left to it, unless ``always``."""
    for bit, option, size in (
        (socket.SNDBUF_LOCK, socket.SO_SNDBUFFORCE, kept.send),
        (socket.RCVBUF_LOCK, socket.SO_RCVBUFFORCE, kept.receive),
    ):
        if always or kept.chosen & bit:
            # the kernel doubles what it is told, and tells the double
            _set(on, fd, option, size // 2, "buffer size")
    if always and kept.chosen != socket.SNDBUF_LOCK | socket.RCVBUF_LOCK:
        _set(on, fd, socket.SO_BUF_LOCK, kept.chosen, "who chose the sizes")


def roomy(on: Track, fd: Slot | int, size: int, which: int = socket.SO_SNDBUFFORCE) -> None:
    """Room in the send buffer for ``size`` bytes, however they are cut into messages; or SO_RCVBUFFORCE."""
    _set(on, fd, which, size, "room for queued data")


def _set(on: Track, fd: Slot | int, option: int, value: int, why: str) -> None:
    on.call(x86_64.setsockopt, fd, socket.SOL_SOCKET, option, value.to_bytes(4, "little"), 4, why=why)
