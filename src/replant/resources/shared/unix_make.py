"""Makes all unix sockets of a tree in the restorer: names, listeners and connections; then what is queued in them.

A connection whose server side has a name is made by connecting and accepting, any other by socketpair(2). Peers that
were closed are played by sockets that are closed once everything is filled in (`unix_fill`).
"""

from __future__ import annotations

import os

from replant.abi import socket, unix, x86_64
from replant.resources.shared import pairs
from replant.resources.shared.unix_names import Name, Names, bound_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from replant.abi.call import Slot, Track
    from replant.resources.files.unix import State
    from replant.resources.shared.unix_names import StandIn

    Credentials = tuple[int, int, int]
    T = TypeVar("T")

BOTH = 3  # the two bits of shutdown
_NOBODY = (0, 0, 0)
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 1 << 2
_UNSPECIFIED = bytes(2)  # AF_UNSPEC: connect(2) to nobody
_MANY = 4096  # as many as may wait for a listener while the tree is made


class Maker:
    """``states`` in, descriptors in the same order out; every call goes to ``on``, or to a stand-in at a place of it.

    A stand-in makes what sockets remember the maker of: pairs, connections, listeners.
    """

    def __init__(self, on: Track, states: Sequence[State], stand_in: StandIn) -> None:
        self.on = on
        self.stand_in = stand_in
        self.states = states
        self.by_ino = {s.ino: s for s in states}
        self.names = Names(on, stand_in)
        self.slots: dict[int, Slot | int] = {}
        self.extras: dict[int, Slot] = {}  # by inode of the socket they serve: the peer that was closed
        self.later: list[tuple[State, Name]] = []  # datagram sockets, and the name that they are connected to
        self._servers: dict[tuple[bytes, int], Slot] = {}  # listeners by name and origin, of the tree or borrowed
        self._borrowed: list[Slot] = []
        waiting = {ino for s in states for ino in s.waiting}
        self._waiting = {s.ino for s in states if s.ino in waiting and not s.unsent}

    def make(self) -> list[Slot | int]:
        """All calls of the first part."""
        self.names.clear([s.name for s in self.states])
        for state in sorted(self.states, key=_renamed, reverse=True):
            if state.type != socket.SOCK_DGRAM and state.state != socket.TCP_ESTABLISHED:
                self._single(state)
        for left, right in self._connections():
            self._connect(left, right)
        for state in self.states:
            self._let_wait(state)
        self._datagrams()
        return [self.slots[s.ino] for s in self.states]

    def resume(self, on: Track, slots: dict[int, Slot | int]) -> None:
        """Go on with the second part: on a track of the restorer, with its descriptors of all sockets."""
        self.on, self.slots = on, slots
        self.names.on = on

    def end(self) -> None:
        """What is left to do when all sockets have their contents."""
        for fd in self._borrowed:
            self.on.call(x86_64.close, fd, why="listener that is gone")
        self.names.finish()

    def outside(self, state: State) -> bool:
        """Whether it is to be connected once more to a peer that is not in the tree."""
        if state.reconnect and state.peer >= 0 and state.peer not in self.by_ino and state.ino not in self._waiting:
            return state.peer > 0 or (state.type != socket.SOCK_DGRAM and state.shutdown != BOTH)
        return False

    def _by(self, maker: Credentials, act: Callable[[Track], T]) -> T:
        """``act``, its calls made by a process with these credentials: the one whose track this is, or a stand-in."""
        pid, uid, gid = maker
        if pid <= 0:
            return act(self.on)
        if self.on.actor != str(pid):
            return act(self.stand_in(self.on, pid, uid, gid))
        own = os.geteuid(), os.getegid()
        if (uid, gid) == own:
            return act(self.on)
        self._become(uid, gid, _NO_SETUID_FIXUP)
        made = act(self.on)
        self._become(*own, 0)
        return made

    def _become(self, uid: int, gid: int, bits: int) -> None:
        self.on.call(x86_64.prctl, _PR_SET_SECUREBITS, _NO_SETUID_FIXUP, why="capabilities stay when ids change")
        self.on.call(x86_64.setresgid, -1, gid, -1, why="sockets remember the group")
        self.on.call(x86_64.setresuid, -1, uid, -1, why="sockets remember the user")
        self.on.call(x86_64.prctl, _PR_SET_SECUREBITS, bits)

    # sockets

    def _socket(self, kind: int, name: Name, why: str) -> Slot:
        fd = self.on.call(x86_64.socket, socket.AF_UNIX, kind | socket.SOCK_CLOEXEC, 0, why=why)
        self.names.bind(fd, name)
        return fd

    def _single(self, state: State) -> None:
        self.slots[state.ino] = fd = self._socket(state.type, state.name, "unix socket")
        if state.state == socket.TCP_LISTEN:
            self._listen(fd, _MANY if state.waiting else state.backlog, state.maker)
            self._servers[state.name.text, state.name.origin] = fd
            if not unix.is_path(state.name.text):
                self._servers[state.name.text, 0] = fd

    def _listen(self, fd: Slot | int, backlog: int, maker: Credentials) -> None:
        self._by(maker, lambda on: on.call(x86_64.listen, fd, backlog, why="listen"))

    def _connect_to(self, fd: Slot | int, name: Name, maker: Credentials = _NOBODY) -> None:
        def connect(on: Track) -> Slot:
            return self.names.reach(
                on, name, lambda address: on.call(x86_64.connect, fd, address, len(address), why="connect")
            )

        self._by(maker, connect)

    # connections

    def _connections(self) -> Iterator[tuple[State, State | None]]:
        """Each connected pair once; None stands for a peer that was closed, or is outside."""
        done: set[int] = set()
        for state in self.states:
            if state.type == socket.SOCK_DGRAM or state.state != socket.TCP_ESTABLISHED:
                continue
            if state.ino not in done and state.ino not in self._waiting:
                done.update((state.ino, state.peer))
                yield state, self.by_ino.get(state.peer)

    def _connect(self, left: State, right: State | None) -> None:
        other = right.name if right else Name(left.peer_name)
        if self.outside(left):
            self.slots[left.ino] = self._socket(left.type, left.name, "client of somebody outside")
            self._connect_to(self.slots[left.ino], other)
            return
        if not left.name.text and not other.text:
            made = self._by(left.maker, lambda on: pairs.socketpair(on, socket.AF_UNIX, left.type))
        elif self._is_server(left.name, other):
            made = self._accept(left, left.name, right, other)[::-1]
        else:
            made = self._accept(right, other, left, left.name)
        self.slots[left.ino] = made[0]
        (self.slots if right else self.extras)[right.ino if right else left.ino] = made[1]

    def _is_server(self, name: Name, other: Name) -> bool:
        """Whether the side with ``name`` is the one that was accepted: it has the listener's name."""
        if not name.text or not other.text:
            return bool(name.text)
        return (name.text, name.origin) in self._servers or (other.text, other.origin) not in self._servers

    def _accept(self, server: State | None, name: Name, client: State | None, own: Name) -> tuple[Slot, Slot]:
        """The client's and the server's end of a connection to the listener ``name``; ``own``: the client's name."""
        kind = (server or client or self.states[0]).type
        key = name.text, name.origin
        if key not in self._servers:
            fd = self._socket(kind, name, "listener that is gone, for its connections")
            self._listen(fd, 1, client.maker if client else _NOBODY)
            self._servers[key] = fd
            self._borrowed.append(fd)
        fd = self._socket(kind, own, "client")
        self._connect_to(fd, name, server.maker if server else _NOBODY)
        return fd, self.on.call(x86_64.accept4, self._servers[key], 0, 0, socket.SOCK_CLOEXEC, why="accept")

    def _let_wait(self, listener: State) -> None:
        """Connections that nobody has accepted yet, in the order in which they came."""
        for ino in listener.waiting:
            if ino in self._waiting:
                client = self.by_ino[ino]
                self.slots[ino] = self._socket(client.type, client.name, "client that waits")
                self._connect_to(self.slots[ino], listener.name, client.holder)
        if listener.waiting:
            self._listen(self.slots[listener.ino], listener.backlog, listener.maker)

    # datagram sockets

    def _datagrams(self) -> None:
        """Those born as pairs first, as the other end of one may be the only way to reach it."""
        datagrams = [s for s in self.states if s.type == socket.SOCK_DGRAM]
        for state in sorted(datagrams, key=lambda s: (not self._twin(s), _renamed(s))):
            if state.ino not in self.slots:
                self._datagram(state)

    def _twin(self, state: State) -> State | None:
        """With whom it is connected as they were born: to each other, or without a name to reach the other by."""
        peer = self.by_ino.get(state.peer)
        if peer is None or not (is_born(state) and is_born(peer)):
            return None
        return peer if peer.peer == state.ino or not peer.name.text else None

    def _datagram(self, state: State) -> None:
        if not is_born(state):
            self.slots[state.ino] = self._socket(state.type, state.name, "unix socket")
            self._connect_later(state)
            return
        fd, other = self._by(state.maker, lambda on: pairs.socketpair(on, socket.AF_UNIX, state.type))
        self.slots[state.ino] = fd
        self.names.bind(fd, state.name)
        twin = self._twin(state)
        if twin is not None:
            self.slots[twin.ino] = other
            self.names.bind(other, twin.name)
            if twin.peer != state.ino:
                self._part(twin, other)
        elif state.peer == 0 or (state.peer > 0 and state.peer not in self.by_ino and not state.reconnect):
            self.extras[state.ino] = other
            self.names.bind(other, Name(state.peer_name))
        else:
            self._part(state, fd)
            self.on.call(x86_64.close, other, why="other end of a pair, long gone")

    def _part(self, state: State, fd: Slot) -> None:
        self.on.call(x86_64.connect, fd, _UNSPECIFIED, 2, why="no longer connected as it was born")
        self._connect_later(state)

    def _connect_later(self, state: State) -> None:
        """When it has its contents: a connected socket takes datagrams from its peer alone."""
        peer = self.by_ino.get(state.peer)
        if peer is not None:
            self.later.append((state, peer.name))
        elif state.peer >= 0 and self.outside(state):
            self.later.append((state, Name(state.peer_name)))
        elif state.peer >= 0:
            name = Name(state.peer_name, origin=-state.ino)  # of nobody else
            self.extras[state.ino] = self._socket(socket.SOCK_DGRAM, name, "peer that is gone")
            self.later.append((state, name))

    def connect_later(self) -> None:
        """The calls that `_connect_later` has put off."""
        for state, name in self.later:
            self._connect_to(self.slots[state.ino], name)


def is_born(state: State) -> bool:
    """Whether socketpair(2) has made it: only that lets a datagram socket remember somebody."""
    return state.credentials[0] > 0


def _renamed(state: State) -> bool:
    """Its string was taken by another socket afterwards, maybe."""
    return bool(state.name.place) and bound_path(state.name) != state.name.place
