"""Sockets by sock_diag(7): one dump for each family and protocol, in the caller's or any other network namespace.

What a descriptor shows of a socket is its inode; here is what is behind it: addresses, states, queues, options, and who
the peer of a unix socket is. TCP sequence numbers are among the facts of files, BPF reads them.
"""

from __future__ import annotations

import socket
from struct import pack, unpack, unpack_from

from ..abi import sock_diag
from . import netlink
from .record import Record

TCP, UDP, UDPLITE, RAW = 6, 17, 136, 255


class Memory(Record):
    """SK_MEMINFO: bytes allocated and the limits of both buffers, drops in packets."""

    rmem_alloc: int
    rcvbuf: int
    wmem_alloc: int
    sndbuf: int
    fwd_alloc: int
    wmem_queued: int
    optmem: int
    backlog: int
    drops: int


class TcpInfo(Record):
    """The beginning of struct tcp_info: what TCP_REPAIR_OPTIONS wants to hear, times in us, sizes in bytes."""

    options: int
    snd_wscale: int
    rcv_wscale: int
    rto: int
    snd_mss: int
    rcv_mss: int
    unacked: int
    raw: bytes


class InetSocket(Record):
    """An internet socket. ``state`` is TCP_*; of a listener ``rqueue`` is the accept queue and ``wqueue`` its limit.

    ``inode`` is 0 once no descriptor is left (TIME_WAIT, FIN_WAIT, not yet accepted). ``None``: not told for this kind.
    """

    family: int
    protocol: int
    state: int
    source: tuple[str, int]
    target: tuple[str, int]
    interface: int
    inode: int
    uid: int
    rqueue: int
    wqueue: int
    timer: int
    expires_ms: int
    cookie: int
    shutdown: int | None
    v6only: bool | None
    tos: int | None
    congestion: str | None
    mark: int | None
    memory: Memory | None
    tcp: TcpInfo | None


class UnixSocket(Record):
    """A unix socket. ``name`` is bound to, ``\\0`` first if abstract; ``peer`` and ``pending`` are inodes.

    ``pending`` are the peers waiting to be accepted, ``file`` is (device, inode) of a bound path. Of a listener
    ``rqueue`` is the accept queue and ``wqueue`` its limit; else both are bytes.
    """

    type: int
    state: int
    inode: int
    name: bytes | None
    file: tuple[int, int] | None
    peer: int | None
    pending: tuple[int, ...]
    rqueue: int
    wqueue: int
    shutdown: int
    uid: int | None
    cookie: int
    memory: Memory | None


class NetlinkSocket(Record):
    """A netlink socket: its port, its protocol, the multicast groups as a mask."""

    protocol: int
    portid: int
    target_portid: int
    target_group: int
    inode: int
    groups: int
    cookie: int


class PacketSocket(Record):
    """A packet socket: the protocol it is bound to and the interface."""

    type: int
    protocol: int
    interface: int
    inode: int
    cookie: int


class Diag:
    """A sock_diag socket in one network namespace; for use in a ``with``."""

    def __init__(self, namespace: int | None = None) -> None:
        """``namespace``: a descriptor of a network namespace, such as /proc/PID/ns/net; the caller's by default.

        :raises OSError: EPERM where the caller may not enter the namespace.
        """
        self._socket = netlink.open_diag(namespace)

    def __enter__(self) -> Diag:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def inet(self, protocols: tuple[int, ...] = (TCP, UDP, UDPLITE, RAW)) -> list[InetSocket]:
        """All IPv4 and IPv6 sockets of the protocols; one that this kernel cannot show has none."""
        found: list[InetSocket] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for protocol in protocols:
                request = pack(sock_diag.INET_REQUEST, family, protocol, 0xFF, 0, sock_diag.ALL_STATES, b"")
                found += [_inet(data, protocol) for data in netlink.dump(self._socket, request)]
        return found

    def unix(self) -> list[UnixSocket]:
        """All unix sockets."""
        states, show = sock_diag.ALL_STATES, sock_diag.UNIX_SHOW_ALL
        request = pack(sock_diag.UNIX_REQUEST, socket.AF_UNIX, 0, 0, states, 0, show, 0)
        return [_unix(data) for data in netlink.dump(self._socket, request)]

    def netlink(self) -> list[NetlinkSocket]:
        """All netlink sockets; those of the kernel itself have port 0."""
        protocols, show = sock_diag.NETLINK_ALL_PROTOCOLS, sock_diag.NETLINK_SHOW_ALL
        request = pack(sock_diag.NETLINK_REQUEST, socket.AF_NETLINK, protocols, 0, 0, show, 0)
        # one with multicast groups is told twice, once from each of the kernel's tables
        return list({s.cookie: s for s in map(_netlink, netlink.dump(self._socket, request))}.values())

    def packet(self) -> list[PacketSocket]:
        """All packet sockets."""
        request = pack(sock_diag.PACKET_REQUEST, socket.AF_PACKET, 0, 0, 0, sock_diag.PACKET_SHOW_ALL, 0)
        return [_packet(data) for data in netlink.dump(self._socket, request)]


def _inet(data: bytes, protocol: int) -> InetSocket:
    head = unpack_from(sock_diag.INET_ANSWER, data)
    family, state, timer, _, sport, dport, src, dst, interface, cookie, expires, rqueue, wqueue, uid, inode = head
    more = dict(netlink.attributes(data, sock_diag.INET_ANSWER_SIZE))
    mark, congestion = more.get(sock_diag.INET_MARK), more.get(sock_diag.INET_CONG)
    return InetSocket(
        *(family, protocol, state, _address(family, src, sport), _address(family, dst, dport)),
        *(interface, inode, uid, rqueue, wqueue, timer, expires, cookie),
        _byte(more.get(sock_diag.INET_SHUTDOWN)),
        bool(more[sock_diag.INET_SKV6ONLY][0]) if sock_diag.INET_SKV6ONLY in more else None,
        _byte(more.get(sock_diag.INET_TCLASS if family == socket.AF_INET6 else sock_diag.INET_TOS)),
        congestion.rstrip(b"\0").decode() if congestion else None,
        unpack("=I", mark)[0] if mark else None,
        _memory(more.get(sock_diag.INET_SKMEMINFO)),
        _tcp(more.get(sock_diag.INET_INFO)) if protocol == TCP else None,
    )


def _address(family: int, address: bytes, port: bytes) -> tuple[str, int]:
    size = 4 if family == socket.AF_INET else 16
    return socket.inet_ntop(family, address[:size]), int.from_bytes(port, "big")


def _byte(value: bytes | None) -> int | None:
    return value[0] if value else None


def _memory(value: bytes | None) -> Memory | None:
    return Memory._make(unpack_from(sock_diag.MEMINFO, value)) if value else None


def _tcp(value: bytes | None) -> TcpInfo | None:
    if not value:
        return None
    head = unpack_from(sock_diag.TCP_INFO_HEAD, value)
    options, scales = head[5], head[6]
    rto, _, snd_mss, rcv_mss, unacked, _ = head[8:]
    return TcpInfo(options, scales & 15, scales >> 4, rto, snd_mss, rcv_mss, unacked, value)


def _unix(data: bytes) -> UnixSocket:
    _, kind, state, _, inode, cookie = unpack_from(sock_diag.UNIX_ANSWER, data)
    more = dict(netlink.attributes(data, sock_diag.UNIX_ANSWER_SIZE))
    file, peer, uid = (more.get(n) for n in (sock_diag.UNIX_VFS, sock_diag.UNIX_PEER, sock_diag.UNIX_UID))
    pending = more.get(sock_diag.UNIX_ICONS, b"")
    rqueue, wqueue = unpack("=II", more.get(sock_diag.UNIX_RQLEN, bytes(8)))
    return UnixSocket(
        *(kind, state, inode, more.get(sock_diag.UNIX_NAME)),
        unpack("=II", file)[::-1] if file else None,
        unpack("=I", peer)[0] if peer else None,
        unpack(f"={len(pending) // 4}I", pending),
        *(rqueue, wqueue, more.get(sock_diag.UNIX_SHUTDOWN, b"\0")[0]),
        unpack("=I", uid)[0] if uid else None,
        cookie,
        _memory(more.get(sock_diag.UNIX_MEMINFO)),
    )


def _netlink(data: bytes) -> NetlinkSocket:
    _, _, protocol, _, port, target, group, inode, cookie = unpack_from(sock_diag.NETLINK_ANSWER, data)
    more = dict(netlink.attributes(data, sock_diag.NETLINK_ANSWER_SIZE))
    groups = int.from_bytes(more.get(sock_diag.NETLINK_GROUPS, b""), "little")
    return NetlinkSocket(protocol, port, target, group, inode, groups, cookie)


def _packet(data: bytes) -> PacketSocket:
    _, kind, protocol, inode, cookie = unpack_from(sock_diag.PACKET_ANSWER, data)
    info = dict(netlink.attributes(data, sock_diag.PACKET_ANSWER_SIZE)).get(sock_diag.PACKET_INFO, bytes(4))
    return PacketSocket(kind, protocol, unpack_from("=I", info)[0], inode, cookie)
