"""TCP sockets that are not connected: listening, bound, new; with their options. Connections are refused.

Connections that wait in the queue of a listener are refused too, or skipped if the option ``pending`` says ``skip``.
"""

from __future__ import annotations

import struct
from stat import S_ISSOCK

from replant.abi import inet, poll, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, sockopt
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
_OPTIONS = (
    inet.TCP_NODELAY, inet.TCP_MAXSEG, inet.TCP_CORK, inet.TCP_KEEPIDLE, inet.TCP_KEEPINTVL, inet.TCP_KEEPCNT,
    inet.TCP_SYNCNT, inet.TCP_LINGER2, inet.TCP_DEFER_ACCEPT, inet.TCP_USER_TIMEOUT, inet.TCP_FASTOPEN,
    inet.TCP_NOTSENT_LOWAT, inet.TCP_SAVE_SYN, inet.TCP_FASTOPEN_CONNECT, inet.TCP_FASTOPEN_NO_COOKIE, inet.TCP_INQ,
    inet.TCP_TX_DELAY,
)  # fmt: skip
_KNOWN: sockopt.Known = (
    *common.KNOWN,
    *[(inet.IPPROTO_TCP, option, 4) for option in _OPTIONS],
    (inet.IPPROTO_TCP, inet.TCP_CONGESTION, 16),
)
_STATES = (
    "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
    "LAST_ACK", "LISTEN", "CLOSING",
)  # fmt: skip
_INFO = struct.Struct("=B23xII")  # tcp_info: tcpi_state, and of a listener its queue and the limit of that


class State(Frozen):
    """``backlog`` is the limit of the queue of a listener, -1 for a socket that does not listen."""

    socket: common.Socket
    backlog: int


def claims(f: FileFacts) -> bool:
    """Plain TCP, connected or not: multipath TCP has its own protocol number."""
    return S_ISSOCK(f.mode) and socket.number(f.grab(), socket.SOL_SOCKET, socket.SO_PROTOCOL) == inet.IPPROTO_TCP


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: it is connected, or was; or connections wait in its queue."""
    info = socket.get(f.grab(), inet.IPPROTO_TCP, inet.TCP_INFO, _INFO.size) or bytes(_INFO.size)
    state, waiting, backlog = _INFO.unpack(info)
    if state not in (socket.TCP_CLOSE, socket.TCP_LISTEN) or _was_connected(f):
        peer = socket.name(f.grab(), x86_64.getpeername)
        to = f" to {inet.show(peer)}" if peer else ""
        why = f"it is a TCP connection{to} ({_STATES[state]})"
        raise refuse(f, why, "close the connection before the dump", "tcp-connection")
    listening = state == socket.TCP_LISTEN
    if listening and waiting and dump.policy("pending") != "skip":
        why = f"{waiting} connections wait to be accepted"
        raise refuse(f, why, "let the program accept them, or leave them out: --pending skip", "pending")
    layered = socket.get(f.grab(), inet.IPPROTO_TCP, inet.TCP_ULP, 16)
    if layered:
        raise refuse(f, f"the protocol {layered.rstrip(bytes(1)).decode()} stands on top of it", "do without it")
    return State(common.read(f, socket.SOCK_STREAM, inet.IPPROTO_TCP, _KNOWN), backlog if listening else -1)


def _was_connected(f: FileFacts) -> bool:
    """Reset, or shut both ways: a socket that is CLOSE again, and remembers it."""
    return bool(poll.poll_now(f.grab(), poll.POLLRDHUP) & (poll.POLLRDHUP | poll.POLLERR))


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, set options, bind, listen."""
    made = []
    for file in files:
        state = file.state
        assert isinstance(state, State)
        fd = common.make(on, socket.SOCK_STREAM, inet.IPPROTO_TCP, state.socket)
        if state.backlog >= 0:
            on.call(x86_64.listen, fd, state.backlog, why="listen")
        made.append(fd)
    return made


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Every field; buffer sizes that the kernel chose are its own affair."""
    yield from compare.fields(before, after, ("socket",))
    yield from common.same(before.socket, after.socket)
