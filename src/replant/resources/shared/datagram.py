"""Sockets of datagrams over IP: UDP, UDP-Lite, ICMP ("ping"), raw: what their kinds have in common.

`adapt`, `attach`, `check` and `same` are those of kinds that take them over.
Unread datagrams are refused, and so are corked ones, a pending error, and membership of a multicast group: nobody can
put datagrams back, nor list the groups and sources of a socket.
"""

from __future__ import annotations

import time

from replant.abi import inet, libc, poll, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, multicast, sockopt
from replant.resources.shared import inet as common
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import FileFacts, RestoreSide

    S = TypeVar("S", bound="State")

_EAGAIN, _ENOTCONN = 11, 107
_MOMENTS = 20
_V6ONLY = (inet.IPPROTO_IPV6, inet.IPV6_V6ONLY)


class State(Frozen):
    """``peer`` is the sockaddr that it is connected to, empty if none; ``shutdown``: 1 receiving, 2 sending."""

    socket: common.Socket
    peer: bytes
    shutdown: int
    protocol: int


def protocol(fd: int) -> int:
    """The number of its protocol of IP."""
    return socket.number(fd, socket.SOL_SOCKET, socket.SO_PROTOCOL)


def read(f: FileFacts, kind: int, known: sockopt.Known, table: str = "") -> State:
    """The State. ``table`` of /proc/net has the peer, of which getpeername(2) does not tell if it has no port.

    :raises Blocker: datagrams are unread, an error is pending, it is a member of a multicast group.
    """
    fd, number = f.grab(), protocol(f.grab())
    if poll.poll_now(fd) & poll.POLLERR:
        raise refuse(f, "an error is pending on it (SO_ERROR, or its error queue)", "let the program read it")
    peek = socket.MSG_PEEK | socket.MSG_DONTWAIT
    shutdown = _shutdown(f, number)
    if libc.syscall_raw(x86_64.recvfrom, fd, bytearray(1), 1, peek) != -_EAGAIN and not shutdown & 1:
        raise refuse(f, "datagrams that are not yet read are queued in it", "let the program read them")
    kept = common.read(f, kind, number, known)
    group = multicast.membership(fd, kept.family)
    if group:
        raise refuse(f, f"it is a member of the multicast group {group}", "leave the group before the dump")
    peer = socket.name(fd, x86_64.getpeername) or (_listed(f.ino, table, kept.family) if table else b"")
    return State(kept, peer, shutdown, number)


def all_sent(f: FileFacts) -> None:
    """:raises Blocker: a part of a datagram is held back (UDP_CORK, MSG_MORE).

    What is on its way out of the machine counts as well, and is gone in a moment.
    """
    for _ in range(_MOMENTS):
        if not socket.queued(f.grab(), socket.SIOCOUTQ):
            return
        time.sleep(0.001)
    raise refuse(f, "a datagram is corked in it", "let the program send it")


def _listed(ino: int, table: str, family: int) -> bytes:
    """The remote address of a socket, as a table of /proc/net has it: words of the machine's order, in hexadecimal."""
    with open(f"/proc/net/{table}{'6' if family == socket.AF_INET6 else ''}") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    host, _, port = next((row[2] for row in rows if int(row[9]) == ino), "0:0").partition(":")
    words = [int(host[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(host), 8)]
    address = b"".join(words)
    return inet.pack(family, address, int(port, 16)) if any(address) else b""


def _shutdown(f: FileFacts, number: int) -> int:
    """Directions that are shut down, which only sock_diag(7) tells in full, and of these protocols only."""
    from replant.observe.sockets import UDP, UDPLITE, Diag

    if number not in (UDP, UDPLITE):
        return 1 if poll.poll_now(f.grab(), poll.POLLRDHUP) & poll.POLLRDHUP else 0
    with Diag() as diag:
        return next((s.shutdown or 0 for s in diag.inet((number,)) if s.inode == f.ino), 0)


def adapt(state: S, choice: Callable[[str], str]) -> S:
    """At other addresses, if the user wants it so."""
    return state._replace(socket=common.adapt(state.socket, choice), peer=common.moved(state.peer, choice))


def make(on: Track, kind: int, state: State) -> Slot:
    """Create, set options, bind, connect, shut down."""
    fd = common.make(on, kind, state.protocol, state.socket, _any_host(state))
    if state.peer:
        on.call(x86_64.connect, fd, state.peer, len(state.peer), why=f"connect to {inet.show(state.peer)}")
    if state.shutdown:
        how = state.shutdown - 1
        on.call(x86_64.shutdown, fd, how, why="directions that are shut down", ok=(_ENOTCONN,))
    return fd


def _any_host(state: State) -> bytes:
    """A connected IPv6 socket that is open to IPv4 got its address by connecting: a bind would close it to IPv4."""
    kept = state.socket
    closed = any((o.level, o.option) == _V6ONLY and any(o.value) for o in kept.options)
    if not (state.peer and kept.address and kept.family == socket.AF_INET6) or closed:
        return b""
    return inet.with_port(kept.address[:8] + bytes(20), inet.port(kept.address))


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Its packet filter."""
    common.attach(state_of(file).socket, fd, on, restore)


def check(file: File) -> None:
    """:raises Blocker: its address is none of this host."""
    common.check(file, state_of(file).socket)


def state_of(file: File) -> State:
    """The State of a file of these kinds."""
    assert isinstance(file.state, State)
    return file.state


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Every field; buffer sizes that the kernel chose are its own affair."""
    yield from compare.fields(before, after, ("socket",))
    yield from common.same(before.socket, after.socket)
