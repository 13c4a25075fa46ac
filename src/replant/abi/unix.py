"""Addresses of unix(7) sockets and messages with descriptors and credentials: ``linux/un.h``, ``linux/socket.h``."""

from __future__ import annotations

import struct

from replant.abi import libc, x86_64
from replant.abi.call import Packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from replant.abi.call import Slot

SIOCUNIXFILE = 0x89E0

SCM_RIGHTS = 1
SCM_CREDENTIALS = 2
SCM_PIDFD = 4
MSG_CMSG_CLOEXEC = 0x40000000

_SOL_SOCKET = 1
_CONTROL = 4096  # SCM_MAX_FD descriptors, credentials, a pidfd, a security context, times
_NAME = 128
_MESSAGE = struct.Struct("=QI4xQQQQi4x")  # msghdr: name, its size, iov, their number, control, its size, flags
_VECTOR = struct.Struct("=QQ")
_HEADER = struct.Struct("=Qii")  # cmsghdr: size with header, level, type


def sockaddr(name: bytes) -> bytes:
    """``struct sockaddr_un`` of as many bytes as the name needs; abstract names start with a NUL."""
    return b"\x01\0" + name


def is_path(name: bytes) -> bool:
    """Whether a name is a path: neither none nor abstract."""
    return bool(name) and name[0] != 0


def path(name: bytes) -> bytes:
    """The path of a name, without the NUL that the kernel may keep at its end."""
    return name.rstrip(b"\0")


class Received:
    """What recvmsg(2) gave: ``data``, the sender's name, and control messages of SOL_SOCKET by type."""

    __slots__ = ("control", "data", "sender")

    def __init__(self, data: bytes, sender: bytes, control: Mapping[int, bytes]) -> None:
        self.data = data
        self.sender = sender
        self.control = control

    def numbers(self, kind: int) -> tuple[int, ...]:
        """The descriptors or numbers in the control message of that type."""
        value = self.control.get(kind, b"")
        return struct.unpack(f"={len(value) // 4}i", value)


def receive(fd: int, size: int, flags: int) -> Received | int:
    """recvmsg(2) with everything that may come along, descriptors close-on-exec; or minus the error number."""
    data, name, control = bytearray(size or 1), bytearray(_NAME), bytearray(_CONTROL)
    vector = bytearray(_VECTOR.pack(libc.address(data), size))
    addresses = libc.address(name), _NAME, libc.address(vector), 1, libc.address(control), _CONTROL, 0
    message = bytearray(_MESSAGE.pack(*addresses))
    got = libc.syscall_raw(x86_64.recvmsg, fd, message, flags | MSG_CMSG_CLOEXEC)
    if got < 0:
        return got
    _, named, _, _, _, controlled, _ = _MESSAGE.unpack(message)
    return Received(bytes(data[: min(got, size)]), bytes(name[2:named]), _control(bytes(control[:controlled])))


def before_last(fd: int, size: int, flags: int) -> int:
    """How many of the ``size`` bytes that recvmsg(2) would give stand before the last of the kernel's buffers.

    The room for the very last byte is no memory at all: the kernel gives what it could copy buffer by buffer.
    """
    data = bytearray(size)
    vectors = bytearray(_VECTOR.pack(libc.address(data), size - 1) + _VECTOR.pack(0, 1))
    message = bytearray(_MESSAGE.pack(0, 0, libc.address(vectors), 2, 0, 0, 0))
    return max(0, libc.syscall_raw(x86_64.recvmsg, fd, message, flags))


def _control(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + _HEADER.size <= len(data):
        size, level, kind = _HEADER.unpack_from(data, at)
        if level == _SOL_SOCKET:
            found[kind] = data[at + _HEADER.size : at + size]
        at += size + 7 & ~7
    return found


def message(
    data: bytes, address: bytes = b"", files: Sequence[Slot | int] = (), credentials: tuple[int, int, int] = (0, 0, 0)
) -> Packed:
    """``struct msghdr`` for sendmsg(2); ``credentials`` are pid, uid, gid, of pid 0 none are sent."""
    control = bytearray()
    slots: dict[int, Slot | bytes | Packed] = {}
    if credentials[0]:
        control += _HEADER.pack(_HEADER.size + 12, _SOL_SOCKET, SCM_CREDENTIALS) + struct.pack("=iII4x", *credentials)
    if files:
        control += _HEADER.pack(_HEADER.size + 4 * len(files), _SOL_SOCKET, SCM_RIGHTS)
        for file in files:
            if not isinstance(file, int):
                slots[len(control)] = file
            control += struct.pack("=i", file if isinstance(file, int) else 0)
        control += bytes(-len(control) % 8)
    parts: dict[int, Slot | bytes | Packed] = {16: Packed(_VECTOR.pack(0, len(data)), {0: data})}
    if address:
        parts[0] = address
    if control:
        parts[32] = Packed(bytes(control), slots)
    return Packed(_MESSAGE.pack(0, len(address), 0, 1, 0, len(control), 0), parts)
