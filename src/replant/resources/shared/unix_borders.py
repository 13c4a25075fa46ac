"""What a unix socket has lost, or has outside of its tree, without which it cannot be made again."""

from __future__ import annotations

from replant.abi import socket, unix
from replant.resources.shared import unix_hidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.resources.files.unix import State

    Reason = tuple[str, str, str]  # code, why, hint

_BOTH = 3
_CLOSE_FIRST = "close it first"


def lost(state: State, states: Sequence[State]) -> Reason | None:
    """The reason why one of the sockets made together cannot be made again; None: it can."""
    by_ino = {s.ino: s for s in states}
    waiting = {ino for s in states for ino in s.waiting}
    return (
        _outside(state, by_ino, waiting)
        or _stranger(state, by_ino)
        or _waiting(state, by_ino)
        or _hidden(state, by_ino)
        or (_datagram(state, states, by_ino) if state.type == socket.SOCK_DGRAM else None)
    )


def _outside(state: State, by_ino: dict[int, State], waiting: set[int]) -> Reason | None:
    """A peer that is elsewhere; so is, of streams, one that has not accepted and is in no queue of the tree."""
    unaccepted = state.type != socket.SOCK_DGRAM and state.peer == 0 and state.shutdown != _BOTH
    elsewhere = state.peer > 0 and state.peer not in by_ino
    if not (elsewhere or (unaccepted and state.ino not in waiting)) or state.outside == "close":
        return None
    if not state.reconnect:
        hint = "dump a tree with both, close it first, or choose: --peers reconnect, or close"
        return "outside", "its peer is outside of the tree", hint
    if not state.peer_name or (unix.is_path(state.peer_name) and state.peer_name[:1] != b"/"):
        return "outside", "its peer is outside of the tree and has no address to connect to", "--peers close"
    if state.type != socket.SOCK_DGRAM and (state.queue or state.name.text == state.peer_name):
        return "outside", "its peer is outside of the tree, and data of the old connection is unread", _CLOSE_FIRST
    return None


def _stranger(state: State, by_ino: dict[int, State]) -> Reason | None:
    """A maker that nobody can stand in for; with the peer outside, the user has chosen already."""
    if not state.stranger or (state.peer > 0 and state.peer not in by_ino):
        return None
    pid = state.credentials[0]
    return (
        "peer-credentials",
        f"it remembers process {pid}, which is not in the tree, as the one who made it (SO_PEERCRED)",
        "dump a tree with that process, or let the restorer be remembered: --peer-credentials change",
    )


def _waiting(state: State, by_ino: dict[int, State]) -> Reason | None:
    """Connections in the queue of a listener; what was sent through one of them cannot be seen from anywhere."""
    if state.pending == "skip":
        return None
    hint = "let the program accept them, or leave them out: --pending skip"
    for ino in state.waiting:
        client = by_ino.get(ino)
        if client is None:
            who = "is closed already" if ino == 0 else "is outside of the tree"
            return "pending", f"a connection waits to be accepted whose client {who}", hint
        if client.unsent:
            return "pending", "a connection waits to be accepted, and its client has sent data", hint
    return None


def _hidden(state: State, by_ino: dict[int, State]) -> Reason | None:
    """Of bound sockets that anybody sends to, nobody can tell; of pairs, the charge does."""
    peer = by_ino.get(state.peer)
    if state.type == socket.SOCK_STREAM or peer is None or not state.mutual:
        return None
    if not unix_hidden.some(state.type, peer.unsent, [message.data for message in state.queue]):
        return None
    why = "an empty message is queued in it that was looked at before, and that nobody can see a second time"
    return "hidden-message", why, "let the program read it"


def _datagram(state: State, states: Sequence[State], by_ino: dict[int, State]) -> Reason | None:
    peer = by_ino.get(state.peer)
    born = state.credentials[0] > 0
    twins = peer is not None and born and peer.credentials[0] > 0
    if peer is not None and not peer.name.text and not twins:
        return "unsupported", "it is connected one way to a socket that has no name", _CLOSE_FIRST
    if state.peer == 0 and not born and not state.peer_name:
        return "unsupported", "its peer is closed, and had no name", _CLOSE_FIRST
    if not state.queue:
        return None
    connected = state.mutual or state.peer == 0 or any(s.peer == state.ino for s in states)
    if not state.name.text and not connected:
        return "unsupported", "datagrams are queued in it, and it has no name to send them to", _CLOSE_FIRST
    if born and state.peer == 0 and {m.sender for m in state.queue} != {state.peer_name}:
        return "unsupported", "datagrams of others than its closed peer are queued in it", _CLOSE_FIRST
    return None
