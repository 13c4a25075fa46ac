"""ICMP sockets of datagrams, of IPv4 and IPv6 (icmp(7)): what ping uses where it has no privilege.

The number by which it knows its answers is its port, and is kept. Unread answers and a pending error are refused.
"""

from __future__ import annotations

import os
from stat import S_ISSOCK

from replant.abi import inet, socket, x86_64
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
_KNOWN: sockopt.Known = (*common.KNOWN, *common.MULTICAST)

# what all sockets of datagrams do alike
adapt = datagram.adapt
attach = datagram.attach
same = datagram.same


class State(datagram.State):
    """``protocol`` is IPPROTO_ICMP or IPPROTO_ICMPV6; ``group`` that of its maker, which allowed it to make one."""

    group: int


def claims(f: FileFacts) -> bool:
    """Of datagrams, not raw."""
    return S_ISSOCK(f.mode) and datagram.protocol(f.grab()) in (inet.IPPROTO_ICMP, inet.IPPROTO_ICMPV6)


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: see the module."""
    own, group = os.getegid(), os.fstat(f.grab()).st_gid
    os.setegid(group)  # a new socket is made, to be compared with
    try:
        found = datagram.read(f, socket.SOCK_DGRAM, _KNOWN, "icmp")
    finally:
        os.setegid(own)
    return State(found.socket, found.peer, found.shutdown, found.protocol, group)


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, set options, bind to the number, connect.

    Which groups may have such sockets is a setting (net.ipv4.ping_group_range); that of the maker may.
    """
    made, own = [], os.getegid()
    for file in files:
        state = file.state
        assert isinstance(state, State)
        on.call(x86_64.setresgid, -1, state.group, -1, why="a group that may have such sockets")
        made.append(datagram.make(on, socket.SOCK_DGRAM, state))
        on.call(x86_64.setresgid, -1, own, -1, why="our own group")
    return made
