"""TCP sockets: new, bound, listening, connecting, connected, half closed, closed; with their options.

Connections live on by TCP_REPAIR: both queues, sequence numbers, windows, the options agreed upon. Their packets are
held off by nf_tables while the tree is dumped, and while it is away. Lost are explicit congestion notification, what
the congestion control has learnt, and segments received out of order, which the peer sends again.

Connections that wait in the queue of a listener are refused, or skipped if the option ``pending`` says ``skip``.
Refused is what cannot be read or set: kernel TLS and other layered protocols, signed segments (MD5, AO), zero-copy
sending, unread urgent data, a pending error, a peek offset, a saved SYN.
"""

from __future__ import annotations

import struct
from stat import S_ISSOCK

from replant.abi import inet, poll, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, sockopt, tcp_connection, tcp_leftover, tcp_make, tcp_refuse
from replant.resources.shared import inet as common
from replant.resources.shared.refusal import hinder, refuse
from replant.resources.shared.tcp_connection import WITH_PEER, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, Hold, RestoreSide
    from replant.resources.shared.leftover import Leftover

VERSION = 2
SEEKABLE = False
_OPTIONS = (
    inet.TCP_NODELAY, inet.TCP_CORK, inet.TCP_KEEPIDLE, inet.TCP_KEEPINTVL, inet.TCP_KEEPCNT, inet.TCP_SYNCNT,
    inet.TCP_LINGER2, inet.TCP_DEFER_ACCEPT, inet.TCP_USER_TIMEOUT, inet.TCP_FASTOPEN, inet.TCP_NOTSENT_LOWAT,
    inet.TCP_SAVE_SYN, inet.TCP_FASTOPEN_NO_COOKIE, inet.TCP_INQ, inet.TCP_TX_DELAY,
)  # fmt: skip
#: What only matters before a connection, and cannot be told or set any more once there is one.
_BEFORE = (inet.TCP_MAXSEG, inet.TCP_FASTOPEN_CONNECT)
_V6ONLY = (inet.IPPROTO_IPV6, inet.IPV6_V6ONLY, 4)
_CONNECTED: sockopt.Known = (
    *[known for known in common.KNOWN if known != _V6ONLY],
    *[(inet.IPPROTO_TCP, option, 4) for option in _OPTIONS],
    (inet.IPPROTO_TCP, inet.TCP_CONGESTION, 16),
)
_KNOWN: sockopt.Known = (*_CONNECTED, _V6ONLY, *[(inet.IPPROTO_TCP, option, 4) for option in _BEFORE])
_INFO = struct.Struct("=B23xII")  # tcp_info: tcpi_state, and of a listener its queue and the limit of that


class State(Frozen):
    """``backlog`` is the limit of the queue of a listener, -1 for a socket that does not listen.

    ``connection`` is there where one is, was, or is being made.
    """

    socket: common.Socket
    backlog: int
    connection: Connection | None


def _without_connection(row: list[object]) -> list[object]:
    return [*common.without_filter(row), None]


UPGRADES = {1: _without_connection}


def claims(f: FileFacts) -> bool:
    """Plain TCP, connected or not: multipath TCP has its own protocol number."""
    return S_ISSOCK(f.mode) and socket.number(f.grab(), socket.SOL_SOCKET, socket.SO_PROTOCOL) == inet.IPPROTO_TCP


def hold(files: Sequence[FileFacts], dump: DumpSide) -> Hold | None:
    """The packets of connections that are to be kept. :raises Blocker: they cannot be held off."""
    kept = [] if dump.policy("tcp-close") else [f for f in files if _is_kept(f)]
    if not kept:
        return None
    return tcp_connection.Hold(kept, dump.image)


def _is_kept(f: FileFacts) -> bool:
    try:
        return _info(f)[0] in WITH_PEER and not tcp_refuse.why(f)
    finally:
        f.close()  # there may be more of them than descriptors that we may have


def _info(f: FileFacts) -> tuple[int, int, int]:
    """State, and of a listener its queue and the limit of that."""
    info = socket.get(f.grab(), inet.IPPROTO_TCP, inet.TCP_INFO, _INFO.size) or bytes(_INFO.size)
    state, waiting, backlog = _INFO.unpack(info)
    return state, waiting, backlog


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: see the module."""
    state, waiting, backlog = _info(f)
    held = dump.held("tcp") if state in WITH_PEER else None
    if (held is None or f.number not in held) and (problem := tcp_refuse.why(f)):
        raise problem
    if state == socket.TCP_LISTEN:
        if waiting and dump.policy("pending") != "skip":
            why = f"{waiting} connections wait to be accepted"
            raise refuse(f, why, "let the program accept them, or leave them out: --pending skip", "pending")
        return State(common.read(f, socket.SOCK_STREAM, inet.IPPROTO_TCP, _KNOWN), backlog, None)
    connection = _connection(f, state, dump)
    known = _KNOWN if connection is None else _CONNECTED
    return State(common.read(f, socket.SOCK_STREAM, inet.IPPROTO_TCP, known), -1, connection)


def _connection(f: FileFacts, state: int, dump: DumpSide) -> Connection | None:
    if state == socket.TCP_CLOSE:
        return tcp_connection.over(f) if _was_connected(f) else None
    if state == socket.TCP_SYN_SENT:
        return tcp_connection.connecting(f)
    if dump.policy("tcp-close"):
        return tcp_connection.closed()
    return tcp_connection.read(f, state, dump.held("tcp"), dump)


def _was_connected(f: FileFacts) -> bool:
    """Reset, or shut both ways: a socket that is CLOSE again, and remembers it."""
    return bool(poll.poll_now(f.grab(), poll.POLLRDHUP) & poll.POLLRDHUP)


def tells(files: Sequence[File]) -> str:
    """How many connections there are, and what becomes of them."""
    found = [s.connection for s in map(_state, files) if s.connection is not None]
    alive = [c for c in found if c.state in WITH_PEER or c.state == socket.TCP_SYN_SENT]
    outside = sum(1 for c in alive if c.lock)
    if not alive:
        return ""
    what = f"{len(alive)} TCP connection{'s' * (len(alive) > 1)} kept"
    away = f", {outside} to peers outside of the tree, whose packets are held off while it is away"
    return what + away if outside else what


def adapt(state: State, choice: Callable[[str], str]) -> State:
    """Closed, or at other addresses, if the user wants it so."""
    kept, saved = common.adapt(state.socket, choice), state.connection
    if saved is not None and choice("tcp-close") and saved.state in WITH_PEER:
        saved = tcp_connection.closed(saved.lock)
    elif saved is not None:
        saved = saved._replace(peer=common.moved(saved.peer, choice))
    return state._replace(socket=kept, connection=saved)


def check(file: File) -> None:
    """:raises Blocker: an address is none of this host, or somebody has a socket with the same addresses."""
    state = _state(file)
    common.check(file, state.socket)
    if state.connection is not None and state.connection.state in WITH_PEER:
        from replant.resources.shared.tcp_diag import Diag

        local, peer = state.socket.address, state.connection.peer
        with Diag() as diag:
            if diag.owner(local, peer):
                name = f"{inet.show(local)} to {inet.show(peer)}"
                raise hinder(file, name, "a process has this connection", "end it first", "address-in-use")


def receive(files: Sequence[File], restore: RestoreSide) -> Hold | None:
    """The packets of connections, until they are awake."""
    saved = [(s.socket.address, s.connection) for s in map(_state, files) if s.connection is not None]
    return tcp_connection.Return(saved) if saved else None


def leftovers(files_of: Callable[[str], Sequence[File] | None]) -> list[Leftover]:
    """The tables that hold off packets."""
    return tcp_leftover.tables(lambda path: _addresses(files_of(path)))


def _addresses(files: Sequence[File] | None) -> list[tuple[str, bytes, bytes]] | None:
    """Of each connection the table that holds off its packets, and both ends."""
    if files is None:
        return None
    states = [_state(file) for file in files]
    return [(s.connection.lock, s.socket.address, s.connection.peer) for s in states if s.connection is not None]


def clear(names: Sequence[str]) -> None:
    """Let the packets pass."""
    tcp_leftover.clear(names)


def group(file: File) -> object:
    """All together: a port that listens must be bound before the connections to it are there."""
    return ()


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, set options, bind, listen; then connections."""
    made: dict[int, Slot] = {}
    for file in sorted(files, key=lambda file: _state(file).connection is not None):
        state = _state(file)
        if state.connection is not None:
            made[file.number] = tcp_make.make(on, state.socket, state.connection, restore)
            continue
        fd = made[file.number] = common.make(on, socket.SOCK_STREAM, inet.IPPROTO_TCP, state.socket)
        if state.backlog >= 0:
            on.call(x86_64.listen, fd, state.backlog, why="listen")
    return [made[file.number] for file in files]


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Its packet filter."""
    common.attach(_state(file).socket, fd, on, restore)


def wake(file: File, on: Track, restore: RestoreSide) -> None:
    """The end of the repair."""
    state = _state(file)
    if state.connection is not None:
        tcp_make.wake(on, restore.fd(file.number), state.socket, state.connection, restore)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Every field; sizes of buffers that the kernel chose are its own affair, and what moves with the packets."""
    yield from compare.fields(before, after, ("socket", "connection"))
    yield from common.same(before.socket, after.socket)
    if before.connection is None or after.connection is None:
        yield from compare.fields(before, after, ("socket", "backlog"))
    else:
        yield from compare.fields(before.connection, after.connection, tcp_connection.MOVING if elapsed else ())
