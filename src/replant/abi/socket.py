"""Numbers of socket(2), setsockopt(2), recv(2): ``asm-generic/socket.h``, ``linux/socket.h``; and asking a socket."""

from __future__ import annotations

from replant.abi import libc, x86_64

AF_UNIX = 1
AF_INET = 2
AF_INET6 = 10
AF_NETLINK = 16
AF_PACKET = 17

SOCK_STREAM = 1
SOCK_DGRAM = 2
SOCK_RAW = 3
SOCK_SEQPACKET = 5
SOCK_CLOEXEC = 0o2000000

TCP_ESTABLISHED = 1
TCP_SYN_SENT = 2
TCP_FIN_WAIT1 = 4
TCP_FIN_WAIT2 = 5
TCP_CLOSE = 7
TCP_CLOSE_WAIT = 8
TCP_LAST_ACK = 9
TCP_LISTEN = 10
TCP_CLOSING = 11

SOL_SOCKET = 1
SO_REUSEADDR = 2
SO_TYPE = 3
SO_DONTROUTE = 5
SO_BROADCAST = 6
SO_SNDBUF = 7
SO_RCVBUF = 8
SO_KEEPALIVE = 9
SO_OOBINLINE = 10
SO_NO_CHECK = 11
SO_PRIORITY = 12
SO_LINGER = 13
SO_REUSEPORT = 15
SO_PASSCRED = 16
SO_PEERCRED = 17
SO_RCVLOWAT = 18
SO_RCVTIMEO = 20
SO_SNDTIMEO = 21
SO_BINDTODEVICE = 25
SO_ATTACH_FILTER = 26
SO_GET_FILTER = 26
SO_TIMESTAMP = 29
SO_ACCEPTCONN = 30
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_PASSSEC = 34
SO_TIMESTAMPNS = 35
SO_MARK = 36
SO_TIMESTAMPING = 37
SO_PROTOCOL = 38
SO_DOMAIN = 39
SO_RXQ_OVFL = 40
SO_PEEK_OFF = 42
SO_LOCK_FILTER = 44
SO_SELECT_ERR_QUEUE = 45
SO_BUSY_POLL = 46
SO_MAX_PACING_RATE = 47
SO_ZEROCOPY = 60
SO_PREFER_BUSY_POLL = 69
SO_BUF_LOCK = 72
SO_RCVMARK = 75
SO_PASSPIDFD = 76
SO_PASSRIGHTS = 83

#: Bits of SO_BUF_LOCK: the size was chosen, the kernel does not tune it.
SNDBUF_LOCK = 1
RCVBUF_LOCK = 2

MSG_PEEK = 0x02
MSG_TRUNC = 0x20
MSG_DONTWAIT = 0x40

FIONREAD = 0x541B
SIOCOUTQ = 0x5411
SIOCOUTQNSD = 0x894B  # bytes never sent yet


_ROOM = 128
_value = bytearray(_ROOM + 4)  # of an option, and behind it its length: asked a hundred times a socket
_at = libc.address(_value)


def get(fd: int, level: int, option: int, size: int = 4) -> bytes | None:
    """The value of an option of up to 128 bytes, None where this kind of socket has no such option."""
    _value[:size] = bytes(size)
    _value[_ROOM:] = size.to_bytes(4, "little")
    if libc.syscall_raw(x86_64.getsockopt, fd, level, option, _at, _at + _ROOM) < 0:
        return None
    return bytes(_value[: _value[_ROOM]])


def number(fd: int, level: int, option: int) -> int:
    """The value of an option that is an int, 0 where there is no such option."""
    return int.from_bytes(get(fd, level, option) or b"", "little", signed=True)


def name(fd: int, call: int = x86_64.getsockname) -> bytes:
    """A socket's own address, or its peer's (``getpeername``); empty where there is none."""
    _value[_ROOM:] = _ROOM.to_bytes(4, "little")
    if libc.syscall_raw(call, fd, _at, _at + _ROOM) < 0:
        return b""
    return bytes(_value[: _value[_ROOM]])


def queued(fd: int, request: int = FIONREAD) -> int:
    """Bytes that wait to be read (of datagrams: in the first), or with SIOCOUTQ to be sent."""
    value = bytearray(4)
    libc.syscall(x86_64.ioctl, fd, request, value)
    return int.from_bytes(value, "little")
