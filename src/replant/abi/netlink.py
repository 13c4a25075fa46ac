"""Netlink messages (``linux/netlink.h``): a header, a payload, attributes of length and type, all aligned to four."""

from __future__ import annotations

from struct import unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

AF_NETLINK = 16
NETLINK_SOCK_DIAG = 4

HEADER = "=IHHII"  # len type flags seq pid
HEADER_SIZE = 16
ATTRIBUTE = "=HH"  # len type
ATTRIBUTE_SIZE = 4

NLMSG_ERROR = 2
NLMSG_DONE = 3
F_REQUEST = 0x001
F_ACK = 0x004
F_DUMP = 0x300
F_DUMP_INTR = 0x010
"""The table changed while it was dumped: the answer may lack entries or have some twice."""

NETLINK_ROUTE = 0
NETLINK_AUDIT = 9
NETLINK_CONNECTOR = 11
NETLINK_NETFILTER = 12
NETLINK_GENERIC = 16
"""Protocols of AF_NETLINK sockets."""

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_PKTINFO = 3
NETLINK_BROADCAST_ERROR = 4
NETLINK_NO_ENOBUFS = 5
NETLINK_LISTEN_ALL_NSID = 8
NETLINK_LIST_MEMBERSHIPS = 9
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12
"""Options of netlink(7) sockets."""

SOCKADDR = "=HxxII"  # struct sockaddr_nl: family port groups; the last as a mask


def align(length: int) -> int:
    """Lengths are rounded up to four bytes."""
    return length + 3 & ~3


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of an answer, as (type, payload)."""
    at = 0
    while at < len(data):
        length, kind = unpack_from("=IH", data, at)
        yield kind, data[at + HEADER_SIZE : at + length]
        at += align(length)


def attributes(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The attributes from byte ``at`` of a payload on, as (type, value)."""
    while at + ATTRIBUTE_SIZE <= len(data):
        size, kind = unpack_from(ATTRIBUTE, data, at)
        yield kind, data[at + ATTRIBUTE_SIZE : at + size]
        at += align(size)
