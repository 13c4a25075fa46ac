"""UDP sockets, bound, connected or neither. Unread or corked datagrams and multicast memberships are refused."""

from __future__ import annotations

from stat import S_ISSOCK

from replant.abi import inet, libc, poll, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, multicast, sockopt
from replant.resources.shared import inet as common
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_EAGAIN, _ENOTCONN = 11, 107
_V6ONLY = (inet.IPPROTO_IPV6, inet.IPV6_V6ONLY)
_OPTIONS = (
    inet.UDP_CORK, inet.UDP_ENCAP, inet.UDP_NO_CHECK6_TX, inet.UDP_NO_CHECK6_RX, inet.UDP_SEGMENT, inet.UDP_GRO,
)  # fmt: skip
_KNOWN: sockopt.Known = (*common.KNOWN, *common.MULTICAST, *[(inet.IPPROTO_UDP, option, 4) for option in _OPTIONS])


class State(Frozen):
    """``peer`` is the sockaddr that it is connected to, empty if none; ``shutdown``: 1 receiving, 2 sending."""

    socket: common.Socket
    peer: bytes
    shutdown: int


def claims(f: FileFacts) -> bool:
    """Plain UDP, not UDP-Lite and not ICMP."""
    return S_ISSOCK(f.mode) and socket.number(f.grab(), socket.SOL_SOCKET, socket.SO_PROTOCOL) == inet.IPPROTO_UDP


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: datagrams are unread or corked, an error is pending, it is member of a multicast group."""
    fd = f.grab()
    if poll.poll_now(fd) & poll.POLLERR:
        raise refuse(f, "an error is pending on it (SO_ERROR, or its error queue)", "let the program read it")
    peek = socket.MSG_PEEK | socket.MSG_DONTWAIT
    shutdown = _shutdown(f)
    if libc.syscall_raw(x86_64.recvfrom, fd, bytearray(1), 1, peek) != -_EAGAIN and not shutdown & 1:
        raise refuse(f, "datagrams that are not yet read are queued in it", "let the program read them")
    if socket.number(fd, inet.IPPROTO_UDP, inet.UDP_CORK) and socket.queued(fd, socket.SIOCOUTQ):
        raise refuse(f, "a datagram is corked in it", "let the program send it")
    kept = common.read(f, socket.SOCK_DGRAM, inet.IPPROTO_UDP, _KNOWN)
    group = multicast.membership(fd, kept.family)
    if group:
        raise refuse(f, f"it is a member of the multicast group {group}", "leave the group before the dump")
    return State(kept, socket.name(fd, x86_64.getpeername), shutdown)


def _shutdown(f: FileFacts) -> int:
    """Directions that are shut down, which only sock_diag(7) tells in full."""
    from replant.observe.sockets import UDP, Diag

    with Diag() as diag:
        return next((s.shutdown or 0 for s in diag.inet((UDP,)) if s.inode == f.ino), 0)


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, set options, bind, connect."""
    made = []
    for file in files:
        state = file.state
        assert isinstance(state, State)
        fd = common.make(on, socket.SOCK_DGRAM, inet.IPPROTO_UDP, state.socket, _any_host(state))
        if state.peer:
            on.call(x86_64.connect, fd, state.peer, len(state.peer), why=f"connect to {inet.show(state.peer)}")
        if state.shutdown:
            how = state.shutdown - 1
            on.call(x86_64.shutdown, fd, how, why="directions that are shut down", ok=(_ENOTCONN,))
        made.append(fd)
    return made


def _any_host(state: State) -> bytes:
    """A connected IPv6 socket that is open to IPv4 got its address by connecting: a bind would close it to IPv4."""
    kept = state.socket
    closed = any((o.level, o.option) == _V6ONLY and any(o.value) for o in kept.options)
    if not (state.peer and kept.address and kept.family == socket.AF_INET6) or closed:
        return b""
    return inet.with_port(kept.address[:8] + bytes(20), inet.port(kept.address))


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Every field; buffer sizes that the kernel chose are its own affair."""
    yield from compare.fields(before, after, ("socket",))
    yield from common.same(before.socket, after.socket)
