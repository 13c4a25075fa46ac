"""UDP and UDP-Lite sockets, bound, connected or neither, with shut-down directions, options and packet filters.

Unread or corked datagrams, a pending error and membership of a multicast group are refused.
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

VERSION = 2
SEEKABLE = False
_OPTIONS = (
    inet.UDP_CORK, inet.UDP_ENCAP, inet.UDP_NO_CHECK6_TX, inet.UDP_NO_CHECK6_RX, inet.UDP_SEGMENT, inet.UDP_GRO,
)  # fmt: skip
_LITE_OPTIONS = (inet.UDPLITE_SEND_CSCOV, inet.UDPLITE_RECV_CSCOV)
_KNOWN: sockopt.Known = (
    *common.KNOWN,
    *common.MULTICAST,
    *[(inet.IPPROTO_UDP, option, 4) for option in _OPTIONS],
    *[(inet.IPPROTO_UDPLITE, option, 4) for option in _LITE_OPTIONS],
)

# what all sockets of datagrams do alike
adapt = datagram.adapt
attach = datagram.attach
check = datagram.check
same = datagram.same


class State(datagram.State):
    """``protocol`` is IPPROTO_UDP or IPPROTO_UDPLITE."""


def _only_udp(row: list[object]) -> list[object]:
    return [*common.without_filter(row), inet.IPPROTO_UDP]


UPGRADES = {1: _only_udp}


def claims(f: FileFacts) -> bool:
    """Not ICMP, whose sockets are of datagrams too."""
    return S_ISSOCK(f.mode) and datagram.protocol(f.grab()) in (inet.IPPROTO_UDP, inet.IPPROTO_UDPLITE)


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: see the module."""
    datagram.all_sent(f)
    return State(*datagram.read(f, socket.SOCK_DGRAM, _KNOWN))


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, set options, bind, connect."""
    return [datagram.make(on, socket.SOCK_DGRAM, datagram.state_of(file)) for file in files]
