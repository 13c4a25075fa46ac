"""Empty messages that nobody can see any more: looking at one marks it, and the next look at the queue passes it over.

The kernel charges the sender for every message in the queue of the other end of a pair. So what a sender is charged
more than for the messages that were seen, it is charged for those that were not.
"""

from __future__ import annotations

import struct

from replant.abi import libc, socket, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: what this kernel charges for a message, by type of socket and size
_charges: dict[tuple[int, int], int] = {}


def some(type_: int, charged: int, seen: Iterable[bytes]) -> bool:
    """Whether a sender that is ``charged`` these bytes has sent more than the messages that were ``seen``."""
    return charged - sum(_charge(type_, len(data)) for data in seen) >= _charge(type_, 0)


def _charge(type_: int, size: int) -> int:
    if (type_, size) not in _charges:
        pair = bytearray(8)
        libc.syscall(x86_64.socketpair, socket.AF_UNIX, type_ | socket.SOCK_CLOEXEC, 0, pair)
        a, b = struct.unpack("=ii", pair)
        try:
            room = (2 * size + (1 << 16)).to_bytes(4, "little")
            libc.syscall(x86_64.setsockopt, a, socket.SOL_SOCKET, socket.SO_SNDBUFFORCE, room, 4)
            libc.syscall(x86_64.sendto, a, bytes(size), size, 0, 0, 0)
            _charges[type_, size] = socket.queued(a, socket.SIOCOUTQ)
        finally:
            libc.syscall(x86_64.close, a)
            libc.syscall(x86_64.close, b)
    return _charges[type_, size]
