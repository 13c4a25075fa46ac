"""Makes all unix sockets of a tree in the restorer.

A connection whose server side has a name is made by connecting and accepting, any other by socketpair(2). Peers that
were closed, and senders that are gone, are played by sockets that are closed in the end.
"""

from __future__ import annotations

import os

from replant.abi import fcntl, socket, unix, x86_64
from replant.resources.shared import pairs, sockopt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from replant.abi.call import Slot, Track
    from replant.resources.files.unix import State

    Credentials = tuple[int, int, int]
    T = TypeVar("T")
    StandIn = Callable[[Track, int, int, int], Track]

_BOTH = 3  # the two bits of shutdown
_ROOM_PER_MESSAGE = 4096  # what the kernel charges a sender for a message beyond its bytes
_ENOENT = 2
_NOBODY = (0, 0, 0)
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 1 << 2


class Maker:
    """``states`` in, descriptors in the same order out; every call goes to ``on``, or to a stand-in at a place of it.

    A stand-in makes what sockets remember the maker of: pairs, connections, listeners.
    """

    def __init__(self, on: Track, states: Sequence[State], stand_in: StandIn) -> None:
        self.on = on
        self._stand_in = stand_in
        self.states = states
        self.by_ino = {s.ino: s for s in states}
        self.slots: dict[int, Slot] = {}
        self.extras: dict[int, Slot] = {}  # by inode of the socket they serve: the peer that was closed
        self.servers: dict[bytes, Slot] = {}  # listeners by name, of the tree or borrowed
        self.borrowed: list[bytes] = []
        self.files: dict[str, State] = {}  # socket files that were made, by path
        self.by_name: set[int] = set()  # inodes of datagram sockets that were connected by the name of the peer
        self.senders: set[int] = set()  # inodes of those whose send buffer was enlarged

    def make(self) -> list[Slot]:
        """All calls."""
        for state in self.states:
            if state.state == socket.TCP_LISTEN or state.peer < 0:
                self._single(state)
        for left, right in self._connections():
            self._connect(left, right)
        for state in self.states:
            if state.ino not in self.slots:
                self._single(state)
                self.by_name.add(state.ino)
        for state in self.states:
            self._one_way(state)
        self._fill()
        self._finish()
        return [self.slots[s.ino] for s in self.states]

    def _by(self, maker: Credentials, act: Callable[[Track], T]) -> T:
        """``act``, its calls made by a process with these credentials: the one whose track this is, or a stand-in."""
        pid, uid, gid = maker
        if pid <= 0:
            return act(self.on)
        if self.on.actor != str(pid):
            return act(self._stand_in(self.on, pid, uid, gid))
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

    def _single(self, state: State) -> None:
        fd = self.on.call(x86_64.socket, socket.AF_UNIX, state.type, 0, why="unix socket")
        self.slots[state.ino] = fd
        self._bind(state, fd)
        if state.state == socket.TCP_LISTEN:
            self._listen(fd, state.backlog, state.maker)
            self.servers[state.name] = fd

    def _listen(self, fd: Slot, backlog: int, maker: Credentials) -> None:
        self._by(maker, lambda on: on.call(x86_64.listen, fd, backlog, why="listen"))

    def _bind(self, state: State, fd: Slot) -> None:
        if not state.name:
            return
        if state.file:
            self.on.call(x86_64.unlinkat, fcntl.AT_FDCWD, fcntl.cstring(state.place), 0, why="left over", ok=(_ENOENT,))
        if state.place:
            self.files[state.place] = state
        self._bind_name(fd, state.name, state.folder)

    def _bind_name(self, fd: Slot, name: bytes, folder: str) -> None:
        if folder:
            back = self.on.call(x86_64.openat, fcntl.AT_FDCWD, b".\0", fcntl.O_PATH | fcntl.O_CLOEXEC, 0)
            self.on.call(x86_64.chdir, fcntl.cstring(folder), why="where the relative name was bound")
        address = unix.sockaddr(name)
        bound = self.on.call(x86_64.bind, fd, address, len(address), why="name")
        if unix.is_path(name):
            self.on.undo(bound, x86_64.unlinkat, fcntl.AT_FDCWD, _path(name, folder), 0)
        if folder:
            self.on.call(x86_64.fchdir, back)
            self.on.call(x86_64.close, back)

    # connections

    def _connections(self) -> Iterator[tuple[State, State | None]]:
        """Each connected pair once; None stands for a peer that was closed."""
        done: set[int] = set()
        for state in self.states:
            if state.ino in done or state.state != socket.TCP_ESTABLISHED or state.peer < 0:
                continue
            peer = self.by_ino.get(state.peer)
            if peer is not None and peer.peer != state.ino:
                continue  # a datagram socket connected one way
            if peer is not None and state.type == socket.SOCK_DGRAM and not state.credentials[0]:
                continue  # connected by their names, not born as a pair
            done.update((state.ino, state.peer))
            yield state, peer

    def _connect(self, left: State, right: State | None) -> None:
        names = (left.name, right.name if right else left.peer_name)
        if left.type == socket.SOCK_DGRAM or not any(names):
            made = self._by(left.maker, lambda on: pairs.socketpair(on, socket.AF_UNIX, left.type))
        elif self._is_server(*names):
            made = self._accept(left, names[0], right, names[1])[::-1]
        else:
            made = self._accept(right, names[1], left, names[0])
        self.slots[left.ino] = made[0]
        if right is None:
            self.extras[left.ino] = made[1]
        else:
            self.slots[right.ino] = made[1]
        if left.type == socket.SOCK_DGRAM:
            self._bind_pair(left, right)

    def _bind_pair(self, left: State, right: State | None) -> None:
        self._bind(left, self.slots[left.ino])
        if right is not None:
            self._bind(right, self.slots[right.ino])
        elif left.peer_name:
            self._bind_name(self.extras[left.ino], left.peer_name, "")

    def _is_server(self, name: bytes, other: bytes) -> bool:
        """Whether the side with ``name`` is the one that was accepted: it has the listener's name."""
        return bool(name) and (name in self.servers or not other or other not in self.servers)

    def _accept(self, server: State | None, name: bytes, client: State | None, own: bytes) -> tuple[Slot, Slot]:
        """The client's and the server's end of a connection to the listener ``name``; ``own``: the client's name."""
        kind = (server or client or self.states[0]).type
        if name not in self.servers:
            self._borrow(server, name, kind, client.maker if client else _NOBODY)
        fd = self.on.call(x86_64.socket, socket.AF_UNIX, kind, 0, why="client")
        if client is not None:
            self._bind(client, fd)
        elif own:
            self._bind_name(fd, own, "")
        address = unix.sockaddr(name)
        maker = server.maker if server else _NOBODY
        self._by(maker, lambda on: on.call(x86_64.connect, fd, address, len(address), why="connect"))
        return fd, self.on.call(x86_64.accept4, self.servers[name], 0, 0, 0, why="accept")

    def _borrow(self, server: State | None, name: bytes, kind: int, maker: Credentials) -> None:
        """A listener that is gone, for the connections that it had accepted."""
        fd = self.on.call(x86_64.socket, socket.AF_UNIX, kind, 0, why="listener that is gone, for its connections")
        if server is not None:
            self._bind(server, fd)
        else:
            self._bind_name(fd, name, "")
        self._listen(fd, 1, maker)
        self.servers[name] = fd
        self.borrowed.append(name)

    def _one_way(self, state: State) -> None:
        peer = self.by_ino.get(state.peer)
        if peer is not None and state.ino in self.by_name:
            address = unix.sockaddr(peer.name)
            self.on.call(x86_64.connect, self.slots[state.ino], address, len(address), why="connected by name")

    # contents

    def _fill(self) -> None:
        for state in self.states:
            if not state.queue:
                continue
            peer = self.by_ino.get(state.peer)
            mutual = peer is not None and peer.peer == state.ino
            sender = self.slots[state.peer] if mutual else self.extras.get(state.ino)
            if mutual:
                self.senders.add(state.peer)
            if sender is not None:
                self._send(sender, state, b"")
            else:
                self._send_by_name(state)

    def _send(self, sender: Slot, state: State, to: bytes) -> None:
        room = sum(len(m.data) + _ROOM_PER_MESSAGE for m in state.queue) * 2
        sockopt.roomy(self.on, sender, room)
        for message in state.queue:
            size = len(message.data)
            flags = socket.MSG_DONTWAIT
            self.on.call(x86_64.sendto, sender, message.data, size, flags, to or 0, len(to), why="queued data")

    def _send_by_name(self, state: State) -> None:
        """Datagrams from anybody: each sender of the tree by its name, the others by a socket of that name."""
        by_name = {s.name: s.ino for s in self.states if s.name and s.type == socket.SOCK_DGRAM}
        for message in state.queue:
            ino = by_name.get(message.sender)
            if ino is not None:
                self.senders.add(ino)
                sender = self.slots[ino]
            else:
                sender = self.on.call(x86_64.socket, socket.AF_UNIX, socket.SOCK_DGRAM, 0, why="sender that is gone")
                if message.sender:
                    self._bind_name(sender, message.sender, "")
            self._send(sender, state._replace(queue=(message,)), unix.sockaddr(state.name))
            if ino is None:
                self.on.call(x86_64.close, sender)

    # the end

    def _finish(self) -> None:
        for state in self.states:
            fd = self.slots[state.ino]
            hung_up = state.ino in self.extras and state.type != socket.SOCK_DGRAM
            if state.shutdown and not (hung_up and state.shutdown == _BOTH):
                self.on.call(x86_64.shutdown, fd, state.shutdown - 1, why="directions that are shut down")
            if state.reset:
                self.on.call(x86_64.sendto, fd, b"x", 1, socket.MSG_DONTWAIT, 0, 0, why="never read: a reset")
            if state.ino in self.extras:
                self.on.call(x86_64.close, self.extras[state.ino], why="peer that was closed")
            sockopt.put_buffers(self.on, fd, state.buffers, always=state.ino in self.senders)
            sockopt.put(self.on, fd, state.options)
        for name in self.borrowed:
            self.on.call(x86_64.close, self.servers[name], why="listener that is gone")
        for place, state in self.files.items():
            self._file(place, state)

    def _file(self, place: str, state: State) -> None:
        path = fcntl.cstring(place)
        if not state.file:
            self.on.call(x86_64.unlinkat, fcntl.AT_FDCWD, path, 0, why="name taken away as before")
            return
        self.on.call(x86_64.fchownat, fcntl.AT_FDCWD, path, state.uid, state.gid, 0, why="owner of the socket file")
        self.on.call(x86_64.fchmodat, fcntl.AT_FDCWD, path, state.mode, why="its mode")


def _path(name: bytes, folder: str) -> bytes:
    return (os.fsencode(folder) + b"/" if folder else b"") + unix.path(name) + b"\0"
