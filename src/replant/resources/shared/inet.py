"""What TCP and UDP sockets have in common: family, address, options, buffers."""

from __future__ import annotations

import os

from replant.abi import inet, libc, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, sockopt
from replant.resources.shared import filter as packet_filter
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import FileFacts, RestoreSide

_SIOCGSKNS = 0x894C
_EADDRNOTAVAIL = 99
_FREE = (inet.IPPROTO_IP, inet.IP_FREEBIND)
_YES = (1).to_bytes(4, "little")
_IP = (
    inet.IP_TOS, inet.IP_TTL, inet.IP_RECVOPTS, inet.IP_PKTINFO, inet.IP_MTU_DISCOVER, inet.IP_RECVERR,
    inet.IP_RECVTTL, inet.IP_RECVTOS, inet.IP_FREEBIND, inet.IP_TRANSPARENT, inet.IP_RECVORIGDSTADDR, inet.IP_MINTTL,
    inet.IP_BIND_ADDRESS_NO_PORT, inet.IP_RECVFRAGSIZE, inet.IP_RECVERR_RFC4884, inet.IP_UNICAST_IF,
    inet.IP_LOCAL_PORT_RANGE,
)  # fmt: skip
_IPV6 = (
    inet.IPV6_V6ONLY, inet.IPV6_UNICAST_HOPS, inet.IPV6_MTU_DISCOVER, inet.IPV6_RECVERR, inet.IPV6_RECVERR_RFC4884,
    inet.IPV6_FLOWINFO_SEND, inet.IPV6_RECVPKTINFO, inet.IPV6_RECVHOPLIMIT, inet.IPV6_RECVTCLASS, inet.IPV6_TCLASS,
    inet.IPV6_AUTOFLOWLABEL, inet.IPV6_ADDR_PREFERENCES, inet.IPV6_MINHOPCOUNT, inet.IPV6_TRANSPARENT,
    inet.IPV6_UNICAST_IF, inet.IPV6_FREEBIND,
)  # fmt: skip
_MULTICAST4 = (inet.IP_MULTICAST_TTL, inet.IP_MULTICAST_IF, inet.IP_MULTICAST_LOOP, inet.IP_MULTICAST_ALL)
_MULTICAST6 = (inet.IPV6_MULTICAST_IF, inet.IPV6_MULTICAST_HOPS, inet.IPV6_MULTICAST_LOOP, inet.IPV6_MULTICAST_ALL)
KNOWN: sockopt.Known = (
    *sockopt.GENERAL,
    *[(inet.IPPROTO_IP, option, 4) for option in _IP],
    *[(inet.IPPROTO_IPV6, option, 4) for option in _IPV6],
)
#: What a TCP socket has too, but not by the program's choice: those of an accepted one tell of the first packet.
MULTICAST: sockopt.Known = (
    *[(inet.IPPROTO_IP, option, 4) for option in _MULTICAST4],
    *[(inet.IPPROTO_IPV6, option, 4) for option in _MULTICAST6],
)


class Socket(Frozen):
    """``address`` is what getsockname(2) tells, a sockaddr, empty if it is not bound.

    ``foreign``: the address was none of this host (IP_FREEBIND, IP_TRANSPARENT, or taken away since).
    """

    family: int
    address: bytes
    foreign: bool
    buffers: sockopt.Buffers
    options: tuple[sockopt.Option, ...]
    filter: packet_filter.Filter | None


def read(f: FileFacts, kind: int, protocol: int, known: sockopt.Known) -> Socket:
    """:raises Blocker: it is in another network namespace, or has a packet filter that cannot be read."""
    fd = f.grab()
    if _namespace(fd) != os.stat("/proc/self/ns/net").st_ino:
        raise refuse(f, "the socket is in another network namespace", "dump from the namespace of the program")
    family = socket.number(fd, socket.SOL_SOCKET, socket.SO_DOMAIN)
    options = sockopt.read(fd, (family, kind, protocol), known)
    address = socket.name(fd)
    bound = inet.port(address) != 0 or not inet.is_any(address)
    foreign = bound and _is_foreign(family, address)
    kept = packet_filter.read(f)
    filters = kept if kept != packet_filter.Filter() else None
    return Socket(family, address if bound else b"", foreign, sockopt.buffers(fd), options, filters)


def without_filter(row: list[object]) -> list[object]:
    """Upgrade: a row of before packet filters were kept."""
    kept = row[0]
    assert isinstance(kept, list)
    return [[*kept, None], *row[1:]]


def _namespace(fd: int) -> int:
    namespace = libc.syscall(x86_64.ioctl, fd, _SIOCGSKNS, 0)
    try:
        return os.fstat(namespace).st_ino
    finally:
        os.close(namespace)


def _is_foreign(family: int, address: bytes) -> bool:
    if inet.is_any(address):
        return False
    other = libc.syscall(x86_64.socket, family, socket.SOCK_DGRAM, 0)
    try:
        free = inet.with_port(address, 0)
        return libc.syscall_raw(x86_64.bind, other, free, len(free)) == -_EADDRNOTAVAIL
    finally:
        libc.syscall(x86_64.close, other)


def adapt(kept: Socket, choice: Callable[[str], str]) -> Socket:
    """With another own address, if the user wants one."""
    return kept._replace(address=moved(kept.address, choice)) if kept.address else kept


def moved(address: bytes, choice: Callable[[str], str]) -> bytes:
    """A sockaddr after ``--map-address``; that of an IPv4 host in IPv6 follows the rules for IPv4."""
    rows = choice("map-address")
    if not rows or not address:
        return address
    from socket import AF_INET, AF_INET6, inet_pton

    host = inet.host(address)
    for old, _, new in (row.partition("=") for row in rows.split("\n")):
        family = AF_INET6 if ":" in old else AF_INET
        before, after = inet_pton(family, old), inet_pton(family, new)
        if host == before:
            return inet.with_host(address, after)
        if family == AF_INET and host == inet.MAPPED + before:
            return inet.with_host(address, inet.MAPPED + after)
    return address


def check(file: File, kept: Socket) -> None:
    """:raises Blocker: the address is none of this host."""
    if kept.address and not kept.foreign and _is_foreign(kept.family, kept.address):
        shown = inet.show(kept.address)
        hint = "give it to an interface, or map it to one that is there: --map-address OLD=NEW"
        raise hinder(file, shown, "the address is none of this host", hint, "address")


def make(on: Track, kind: int, protocol: int, kept: Socket, address: bytes = b"") -> Slot:
    """Create, set buffers and options, bind: to ``address`` if that is not the one to be kept."""
    fd = create(on, kind, protocol, kept)
    bind(on, fd, kept, address)
    return fd


def create(on: Track, kind: int, protocol: int, kept: Socket, always: bool = False) -> Slot:
    """A socket with options, and buffers: ``always``, even if the kernel chose their sizes."""
    fd = on.call(x86_64.socket, kept.family, kind, protocol, why="socket")
    sockopt.put_buffers(on, fd, kept.buffers, always)
    sockopt.put(on, fd, kept.options)
    return fd


def bind(on: Track, fd: Slot | int, kept: Socket, address: bytes = b"") -> None:
    """To ``address`` if that is not the one to be kept; an address that this host has not, too."""
    address = address or kept.address
    if not address:
        return
    if kept.foreign:
        sockopt.put(on, fd, [sockopt.Option(*_FREE, _YES)], "it may be bound to an address that this host has not")
    on.call(x86_64.bind, fd, address, len(address), why=f"bind to {inet.show(address)}")
    if kept.foreign:
        own = {(o.level, o.option): o.value for o in kept.options}
        sockopt.put(on, fd, [sockopt.Option(*_FREE, own.get(_FREE, bytes(4)))], "as it was")


def attach(kept: Socket, fd: int, on: Track, restore: RestoreSide) -> None:
    """In a process that holds it: the packet filter."""
    if kept.filter is not None:
        packet_filter.put(on, fd, kept.filter, restore)


def same(before: Socket, after: Socket) -> Iterable[str]:
    """Every field; sizes of buffers that the kernel chose are its own affair."""
    yield from compare.fields(before, after, ("buffers",))
    old, new = before.buffers, after.buffers
    if old.chosen != new.chosen:
        yield f"chosen buffer sizes: {old.chosen} -> {new.chosen}"
    for bit, size, now in ((socket.SNDBUF_LOCK, old.send, new.send), (socket.RCVBUF_LOCK, old.receive, new.receive)):
        if old.chosen & bit and size != now:
            yield f"buffer size: {size} -> {now}"
