"""Network interfaces by rtnetlink(7): one asked for, its addresses and routes; and changes as calls of a restore."""

from __future__ import annotations

import struct

from replant.abi import libc, netlink, socket, x86_64
from replant.abi.call import Out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from replant.abi.call import Slot, Track

RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTPROT_KERNEL = 2
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_TXQLEN, IFLA_LINKINFO, IFLA_AF_SPEC = 1, 3, 4, 13, 18, 26
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
RTA_OIF = 4
IFF_UP = 1
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family type index flags change
_ROUTE = struct.Struct("=8BI")  # rtmsg: family dst_len src_len tos table protocol scope type flags
_REPLACE_OR_CREATE = 0x500
_EAGAIN = 11


def link(name: str) -> tuple[int, int, dict[int, bytes]] | None:
    """Index, flags and attributes of the interface with that name, None if there is none."""
    attribute = name.encode() + b"\0"
    wanted = _LINK.pack(0, 0, 0, 0, 0) + struct.pack(netlink.ATTRIBUTE, 4 + len(attribute), IFLA_IFNAME) + attribute
    for kind, data in _ask(RTM_GETLINK, wanted.ljust(netlink.align(len(wanted)), b"\0"), 0):
        if kind == RTM_NEWLINK:
            _, _, index, flags, _ = _LINK.unpack_from(data)
            return index, flags, attributes(data[_LINK.size :])
    return None


def addresses(index: int) -> Iterator[bytes]:
    """The RTM_NEWADDR messages, without header, that would give the interface its addresses."""
    for kind, data in _ask(RTM_GETADDR, bytes(8), netlink.F_DUMP):
        if kind == RTM_NEWADDR and int.from_bytes(data[4:8], "little") == index:
            yield data


def routes(index: int) -> Iterator[bytes]:
    """The RTM_NEWROUTE messages of routes through the interface, but those that the kernel makes by itself."""
    for kind, data in _ask(RTM_GETROUTE, bytes(_ROUTE.size), netlink.F_DUMP):
        through = attributes(data[_ROUTE.size :]).get(RTA_OIF, b"")
        if kind == RTM_NEWROUTE and data[5] != RTPROT_KERNEL and int.from_bytes(through, "little") == index:
            yield data


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message, by type."""
    found = {}
    while len(data) >= netlink.ATTRIBUTE_SIZE:
        length, kind = struct.unpack_from(netlink.ATTRIBUTE, data)
        found[kind & 0x3FFF] = data[netlink.ATTRIBUTE_SIZE : length]
        data = data[netlink.align(max(length, netlink.ATTRIBUTE_SIZE)) :]
    return found


def _ask(kind: int, payload: bytes, flags: int) -> Iterator[tuple[int, bytes]]:
    fd = libc.syscall(x86_64.socket, socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETLINK_ROUTE)
    try:
        message = _message(kind, payload, netlink.F_REQUEST | flags)
        libc.syscall(x86_64.write, fd, message, len(message))
        buffer = bytearray(1 << 18)
        while True:
            data = bytes(buffer[: libc.syscall(x86_64.read, fd, buffer, len(buffer))])
            at = 0
            while at < len(data):
                length, found, _, _, _ = struct.unpack_from(netlink.HEADER, data, at)
                if found in (netlink.NLMSG_DONE, netlink.NLMSG_ERROR):
                    return
                yield found, data[at + netlink.HEADER_SIZE : at + length]
                at += netlink.align(length)
            if not flags:
                return
    finally:
        libc.syscall(x86_64.close, fd)


def _message(kind: int, payload: bytes, flags: int) -> bytes:
    return struct.pack(netlink.HEADER, netlink.HEADER_SIZE + len(payload), kind, flags, 1, 0) + payload


def change(on: Track, fd: Slot, kind: int, payload: bytes, why: str) -> None:
    """Calls that send a change to a socket ``fd`` of NETLINK_ROUTE; the kernel answers only if it refuses."""
    how = 0 if kind == RTM_NEWLINK else _REPLACE_OR_CREATE  # a link is changed only
    message = _message(kind, payload, netlink.F_REQUEST | how)
    on.call(x86_64.sendto, fd, message, len(message), 0, 0, 0, why=why)
    room = Out(256)
    on.call(x86_64.recvfrom, fd, room, 256, socket.MSG_DONTWAIT, 0, 0, why=why, ok=(_EAGAIN,), gives=-1)
