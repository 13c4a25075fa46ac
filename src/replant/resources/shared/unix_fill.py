"""Puts into the unix sockets of a tree what was queued in them, then options, shut-down directions and closed ends."""

from __future__ import annotations

import os

from replant.abi import fcntl, socket, unix, x86_64
from replant.resources.shared import filter as packet_filter
from replant.resources.shared import sockopt
from replant.resources.shared.unix_make import BOTH
from replant.resources.shared.unix_names import Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from replant.abi.call import Slot, Track
    from replant.resources.files.unix import State
    from replant.resources.shared.unix_make import Maker
    from replant.resources.shared.unix_queue import Message

_ROOM_PER_MESSAGE = 4096  # what the kernel charges a sender for a message beyond its bytes


class Filler:
    """Fills what a `Maker` has made; ``fd`` gives the restorer's descriptor of a description by its number."""

    def __init__(self, maker: Maker, on: Track, fd: Callable[[int], Slot | int]) -> None:
        self._maker = maker
        self._on = on
        self._fd = fd
        self._senders: set[int] = set()  # inodes of those whose send buffer was enlarged
        self._strangers: dict[bytes, Slot] = {}  # senders that are gone, by name
        self._room = sum(len(m.data) + _ROOM_PER_MESSAGE for s in maker.states for m in s.queue) * 2

    def fill(self) -> None:
        """All calls of the second part."""
        for state in self._maker.states:
            if state.queue:
                self._queue(state)
        for stranger in self._strangers.values():
            self._on.call(x86_64.close, stranger, why="sender that is gone")
        self._maker.connect_later()
        for state in self._maker.states:
            self._finish(state)
        self._maker.end()

    def _queue(self, state: State) -> None:
        """From the peer if it has one by now, else by name."""
        sender = self._connected(state)
        if sender is not None:
            sockopt.roomy(self._on, sender, self._room)
        for message in state.queue:
            if sender is not None:
                self._send(sender, message, b"")
            else:
                self._send_by_name(state, message)

    def _connected(self, state: State) -> Slot | int | None:
        """Who can send to it without a name: its peer, the one that is gone, or who is connected to it one way."""
        maker = self._maker
        if any(state is later for later, _ in maker.later):
            return None
        ino = state.peer if state.peer in maker.by_ino else 0
        if not ino and state.type == socket.SOCK_DGRAM and not state.name.text:
            ino = next((s.ino for s in maker.states if s.peer == state.ino), 0)
        if ino:
            self._senders.add(ino)
            return maker.slots[ino]
        return maker.extras.get(state.ino)

    def _send_by_name(self, state: State, message: Message) -> None:
        """Each sender of the tree under its name, the others by a socket of that name."""
        sender = self._named(message.sender)
        sockopt.roomy(self._on, sender, self._room)
        self._maker.names.reach(self._on, state.name, lambda address: self._send(sender, message, address))

    def _named(self, name: bytes) -> Slot | int:
        states = self._maker.states
        own = next((s.ino for s in states if name and s.name.text == name and s.type == socket.SOCK_DGRAM), 0)
        if own:
            self._senders.add(own)
            return self._maker.slots[own]
        if name not in self._strangers:
            kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
            made = self._on.call(x86_64.socket, socket.AF_UNIX, kind, 0, why="sender that is gone")
            self._maker.names.bind(made, Name(name, origin=-1))
            self._strangers[name] = made
        return self._strangers[name]

    def _send(self, sender: Slot | int, message: Message, address: bytes) -> None:
        pid, uid, gid = message.credentials
        on = self._on
        if pid and not os.path.exists(f"/proc/{pid}"):
            on = self._maker.stand_in(on, pid, uid, gid)
        struct = unix.message(message.data, address, [self._fd(n) for n in message.files], message.credentials)
        on.call(x86_64.sendmsg, sender, struct, socket.MSG_DONTWAIT, why="queued data")

    def _finish(self, state: State) -> None:
        on, maker, fd = self._on, self._maker, self._maker.slots[state.ino]
        hung_up = state.ino in maker.extras and state.type != socket.SOCK_DGRAM
        if state.shutdown and not (hung_up and state.shutdown == BOTH):
            on.call(x86_64.shutdown, fd, state.shutdown - 1, why="directions that are shut down")
        if state.reset:
            on.call(x86_64.sendto, fd, b"x", 1, socket.MSG_DONTWAIT, 0, 0, why="never read: a reset")
        if state.ino in maker.extras:
            on.call(x86_64.close, maker.extras[state.ino], why="peer that was closed")
        if state.owner != (os.geteuid(), os.getegid()):
            on.call(x86_64.fchown, fd, *state.owner, why="owner of the socket")
        sockopt.put_buffers(on, fd, state.buffers, always=state.ino in self._senders)
        sockopt.put(on, fd, state.options)
        packet_filter.put(on, fd, state.filter)


def fetched(maker: Maker, pid: int, on: Track) -> None:
    """Take over the peers that were closed, which process ``pid`` has made; its own copies go with the restore."""
    pidfd = on.call(x86_64.pidfd_open, pid, 0, why="to fetch a peer that was closed")
    for ino, theirs in maker.extras.items():
        maker.extras[ino] = on.call(x86_64.pidfd_getfd, pidfd, theirs, 0, why="peer that was closed")
    on.call(x86_64.close, pidfd)


def raised(maker: Maker, lowest: int) -> None:
    """Calls of the maker: peers that were closed get numbers that end with the restore."""
    for ino, fd in maker.extras.items():
        maker.extras[ino] = maker.on.call(x86_64.fcntl, fd, fcntl.F_DUPFD, lowest, why="above those of the tree")
        maker.on.call(x86_64.close, fd, why="raised")
