"""Packets of connections are held off while their sockets are read, gone, or not yet complete.

A packet that finds no socket is answered by a reset, and one that is acknowledged after its data were read is lost. So
both directions of each connection are dropped by a table of nf_tables of our own, as early as they leave a socket and
as late as they would reach one; the other side sends again. A rule of ours names addresses and ports of both ends:
nobody else's packets, no other table and no connection tracking is touched.

As long as we work, the table belongs to our netlink socket: if we die, the kernel takes it away. When a tree is killed,
another table stays, until the restore, or ``replant cleanup``, takes it away by its name.
"""

from __future__ import annotations

import os

from replant.abi import inet, libc, netlink, nftables, socket, x86_64
from replant.errors import Blocker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Pair = tuple[bytes, bytes]

PREFIX = "replant-"
_FIRST, _LAST = -400, 500  # before connection tracking and any translation of addresses; after all of it
_AT_ONCE = 500
_BUFFER = 1 << 16
_EPERM = 1
_IPV4 = (nftables.TYPE_IPV4, nftables.TYPE_IPV4, nftables.TYPE_PORT, nftables.TYPE_PORT)
_IPV6 = (nftables.TYPE_IPV6, nftables.TYPE_IPV6, nftables.TYPE_PORT, nftables.TYPE_PORT)


class Table:
    """A table of ours: its name, whether a living process holds it, and the image that it waits for."""

    __slots__ = ("held", "image", "name")

    def __init__(self, name: str, held: bool, image: str) -> None:
        self.name, self.held, self.image = name, held, image


class Lock:
    """A netlink socket, and the tables that are there as long as it is open; for use until `close`."""

    def __init__(self) -> None:
        self._socket = libc.syscall(
            x86_64.socket, netlink.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, nftables.NETLINK_NETFILTER
        )
        self._own = ""

    def take(self, pairs: Sequence[Pair]) -> None:
        """Hold off the packets of connections, each a pair of addresses, for as long as we live.

        :raises Blocker: this kernel has no nf_tables, or we may not use them.
        """
        name = unused_name()
        self._change(_table(name, pairs, nftables.TABLE_F_OWNER, f"replant, process {os.getpid()}"))
        self._own = name

    def leave(self, name: str, pairs: Sequence[Pair], image: str) -> None:
        """In place of what was taken, hold off the packets of ``pairs`` for good, until somebody lifts ``name``."""
        self._change([*_deletion(self._own), *(_table(name, pairs, 0, image) if pairs else ())])
        self._own = ""

    def lift(self, names: Iterable[str] = ()) -> None:
        """Let packets pass again: of what was taken, and of the tables of these names that are still there."""
        there = {table.name for table in self.tables()} if names else set()
        own, self._own = self._own, ""
        messages = [m for name in (own, *sorted(set(names) & there)) for m in _deletion(name)]
        if messages:
            self._change(messages)

    def close(self) -> None:
        """Let go of what was taken."""
        libc.syscall(x86_64.close, self._socket)

    def tables(self) -> list[Table]:
        """All tables of ours in this network namespace."""
        request = nftables.Message(nftables.GETTABLE, flags=netlink.F_DUMP).render(1)
        found = []
        for answer in self._dump(request):
            values = dict(netlink.attributes(answer, 4))
            name = values[nftables.TABLE_NAME].rstrip(b"\0").decode()
            if name.startswith(PREFIX):
                held = bool(int.from_bytes(values[nftables.TABLE_FLAGS], "big") & nftables.TABLE_F_OWNER)
                comment = nftables.comment_of(values.get(nftables.TABLE_USERDATA, b""))
                found.append(Table(name, held, "" if held else comment))
        return found

    def _dump(self, request: bytes) -> Iterable[bytes]:
        libc.syscall(x86_64.sendto, self._socket, request, len(request), 0, 0, 0)
        while True:
            for kind, body in netlink.messages(self._receive()):
                if kind == netlink.NLMSG_DONE:
                    return
                if kind == netlink.NLMSG_ERROR:
                    raise _refused(-int.from_bytes(body[:4], "little", signed=True))
                yield body

    def _change(self, messages: Sequence[nftables.Message]) -> None:
        data = nftables.batch(messages)
        room = (2 * len(data)).to_bytes(4, "little")  # a change must be sent in one go
        libc.syscall(x86_64.setsockopt, self._socket, socket.SOL_SOCKET, socket.SO_SNDBUFFORCE, room, 4)
        libc.syscall(x86_64.sendto, self._socket, data, len(data), 0, 0, 0)
        last = 0
        while last < len(messages):
            answers = list(nftables.errors(self._receive()))
            for _, error in answers:
                if error:
                    raise _refused(error)
            last = answers[-1][0]

    def _receive(self) -> bytes:
        buffer = bytearray(_BUFFER)
        return bytes(buffer[: libc.syscall(x86_64.recvfrom, self._socket, buffer, len(buffer), 0, 0, 0)])


def unused_name() -> str:
    """A name for a table that no other has."""
    return PREFIX + os.urandom(8).hex()


def _deletion(name: str) -> list[nftables.Message]:
    return [nftables.delete_table(name)] if name else []


def _table(name: str, pairs: Sequence[Pair], flags: int, comment: str) -> list[nftables.Message]:
    """Two chains, and for each family of addresses a set of keys and a rule in each chain."""
    messages = [nftables.new_table(name, flags, comment)]
    messages.append(nftables.new_chain(name, "out", nftables.LOCAL_OUT, _FIRST))
    messages.append(nftables.new_chain(name, "in", nftables.LOCAL_IN, _LAST))
    keys = [(key(*pair), key(*reversed(pair))) for pair in pairs]
    for number, (size, types, rule) in enumerate(((16, _IPV4, _ipv4_rule), (40, _IPV6, _ipv6_rule)), 1):
        mine = sorted({each for both in keys for each in both if len(each) == size})
        if mine:
            set_ = f"ip{4 if number == 1 else 6}"
            messages.append(nftables.new_set(name, set_, number, types, size))
            parts = [mine[first : first + _AT_ONCE] for first in range(0, len(mine), _AT_ONCE)]
            messages += [nftables.new_elements(name, set_, part) for part in parts]
            messages += [nftables.new_rule(name, chain, rule(set_, number)) for chain in ("in", "out")]
    return messages


def key(source: bytes, target: bytes) -> bytes:
    """A direction of a connection as on the wire, where IPv4 in IPv6 is IPv4: hosts, then ports padded to 4 bytes."""
    hosts = plain_host(source), plain_host(target)
    return b"".join([*hosts, source[2:4], bytes(2), target[2:4], bytes(2)])


def plain_host(address: bytes) -> bytes:
    """The host of a sockaddr as it stands in packets: 4 or 16 bytes."""
    host = inet.host(address)
    return host[12:] if host.startswith(inet.MAPPED) else host


def _ipv4_rule(set_: str, number: int) -> list[bytes]:
    return [
        *nftables.only(nftables.NFPROTO_IPV4, inet.IPPROTO_TCP),
        nftables.payload(0, nftables.NETWORK, 12, 4),
        nftables.payload(1, nftables.NETWORK, 16, 4),
        *_ports(2),
        nftables.lookup(set_, number),
        nftables.drop(),
    ]


def _ipv6_rule(set_: str, number: int) -> list[bytes]:
    return [
        *nftables.only(nftables.NFPROTO_IPV6, inet.IPPROTO_TCP),
        nftables.payload(0, nftables.NETWORK, 8, 16),
        nftables.payload(4, nftables.NETWORK, 24, 16),
        *_ports(8),
        nftables.lookup(set_, number),
        nftables.drop(),
    ]


def _ports(register: int) -> list[bytes]:
    at = nftables.TRANSPORT
    return [nftables.payload(register, at, 0, 2), nftables.payload(register + 1, at, 2, 2)]


def _refused(error: int) -> Blocker:
    """What keeps the packets of connections from being held off."""
    hint = "load the module nf_tables, or boot a kernel built with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
    if error == _EPERM:
        hint = "run as root, or with CAP_NET_ADMIN in this network namespace"
    return Blocker(
        f"the packets of TCP connections cannot be held off by nf_tables: {os.strerror(error)}",
        code="packet-lock",
        resource="nf_tables",
        hint=hint,
    )
