"""Raw sockets over IPv4 and IPv6 (raw(7)): protocol, addresses, options, what they let through of ICMP, packet filters.

Packets that are received and not read, a pending error and membership of a multicast group are refused.
"""

from __future__ import annotations

from stat import S_ISSOCK

from replant.abi import inet, socket
from replant.resources.shared import datagram, sockopt
from replant.resources.shared import inet as common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_KNOWN: sockopt.Known = (
    *common.KNOWN,
    *common.MULTICAST,
    (inet.IPPROTO_IP, inet.IP_HDRINCL, 4),
    (inet.IPPROTO_IP, inet.IP_NODEFRAG, 4),
    (inet.IPPROTO_IPV6, inet.IPV6_HDRINCL, 4),
    (inet.IPPROTO_IPV6, inet.IPV6_CHECKSUM, 4),
    (inet.SOL_RAW, inet.ICMP_FILTER, 4),
    (inet.IPPROTO_ICMPV6, inet.ICMPV6_FILTER, 32),
)

# what all sockets of datagrams do alike
adapt = datagram.adapt
attach = datagram.attach
check = datagram.check
same = datagram.same


class State(datagram.State):
    """``protocol`` is any; the port of an address is that number, and means nothing."""


def claims(f: FileFacts) -> bool:
    """Any protocol."""
    return S_ISSOCK(f.mode) and socket.number(f.grab(), socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_RAW


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: see the module."""
    datagram.all_sent(f)
    found = datagram.read(f, socket.SOCK_RAW, _KNOWN, "raw")
    if inet.is_any(found.socket.address):
        found = found._replace(socket=found.socket._replace(address=b""))
    return State(*found)


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, set options, bind, connect."""
    return [datagram.make(on, socket.SOCK_RAW, datagram.state_of(file)) for file in files]
