"""Netlink messages (``linux/netlink.h``): a header, a payload, attributes of length and type, all aligned to four."""

from __future__ import annotations

AF_NETLINK = 16
NETLINK_SOCK_DIAG = 4

HEADER = "=IHHII"  # len type flags seq pid
HEADER_SIZE = 16
ATTRIBUTE = "=HH"  # len type
ATTRIBUTE_SIZE = 4

NLMSG_ERROR = 2
NLMSG_DONE = 3
F_REQUEST = 0x001
F_DUMP = 0x300
F_DUMP_INTR = 0x010
"""The table changed while it was dumped: the answer may lack entries or have some twice."""


def align(length: int) -> int:
    """Lengths are rounded up to four bytes."""
    return length + 3 & ~3
