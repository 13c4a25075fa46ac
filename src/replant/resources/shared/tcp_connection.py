"""A TCP connection as it is saved, and how it is held still while that is done.

While the tree is stopped, the packets of its connections are held off (`packet_lock`): nothing is acknowledged that is
not in the image. If the tree then runs on, they pass again before it does. If it is killed, they stay held off, and its
sockets vanish without a word to their peers: closed under repair, once nobody but us has them.
"""

from __future__ import annotations

import os

from replant.abi import inet, poll, sock_diag, socket, x86_64
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import packet_lock, tcp_repair
from replant.resources.shared.packet_lock import Lock, unused_name
from replant.resources.shared.refusal import refuse
from replant.resources.shared.tcp_diag import Diag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.resources.protocol import DumpSide, FileFacts
    from replant.resources.shared.tcp_repair import Repaired

#: States in which a socket has a peer that may send.
WITH_PEER = (
    socket.TCP_ESTABLISHED, socket.TCP_FIN_WAIT1, socket.TCP_FIN_WAIT2, socket.TCP_CLOSE_WAIT, socket.TCP_LAST_ACK,
    socket.TCP_CLOSING,
)  # fmt: skip
FIN_SENT = (socket.TCP_FIN_WAIT1, socket.TCP_FIN_WAIT2, socket.TCP_LAST_ACK, socket.TCP_CLOSING)
FIN_RECEIVED = (socket.TCP_CLOSE_WAIT, socket.TCP_LAST_ACK, socket.TCP_CLOSING)

#: What moves on with every packet, and by itself.
MOVING = ("lock", "read", "write", "receive", "send", "unsent", "clock", "window")


class Connection(Frozen):
    """``state`` is TCP_*; ``peer`` a sockaddr; ``lock`` the table that holds its packets off while it is away, if any.

    ``read`` is the sequence number of the first byte of ``receive``, what is received and not yet read; ``write`` that
    of the first byte of ``send``, what is not acknowledged, of which the last ``unsent`` bytes were never sent. Scales
    and ``clock`` (of timestamps) are -1 where they were not negotiated. ``window`` is struct tcp_repair_window.
    ``deaf``: shut for reading, by the program or by the peer's FIN.
    """

    state: int
    peer: bytes
    lock: str
    read: int
    write: int
    receive: tuple[Extent, ...]
    send: tuple[Extent, ...]
    unsent: int
    mss: int
    send_scale: int
    receive_scale: int
    sack: bool
    clock: int
    window: bytes
    deaf: bool


class Hold:
    """The connections of a tree, held still until the tree is let go of (`replant.resources.protocol.Hold`)."""

    def __init__(self, files: Sequence[FileFacts], image: str) -> None:
        """:raises Blocker: we may not. Then nothing is held."""
        self._image = image
        self._lock = Lock()
        self._fds: list[int] = []
        self._pairs: dict[int, tuple[bytes, bytes]] = {}
        self.name = unused_name()
        try:
            for f in files:
                self._add(f)
            self._ends = {packet_lock.key(*pair) for pair in self._pairs.values()}
            self._lock.take(list(self._pairs.values()))
            self._found = dict(zip(self._pairs, tcp_repair.examine(self._fds), strict=True))
        except BaseException:
            self.after("run")
            raise

    def _add(self, f: FileFacts) -> None:
        fd = os.dup(f.grab())
        f.close()
        self._fds.append(fd)
        self._pairs[f.number] = socket.name(fd), socket.name(fd, x86_64.getpeername)

    def __contains__(self, number: int) -> bool:
        """Whether file description ``number`` is held."""
        return number in self._pairs

    def found(self, number: int) -> Repaired:
        """What repair told of file description ``number``."""
        return self._found[number]

    def outside(self, number: int) -> bool:
        """Whether the peer is none of the tree's own connections."""
        local, peer = self._pairs[number]
        return packet_lock.key(peer, local) not in self._ends

    def before(self, how: str) -> None:
        """The tree is about to be let go of, or killed. While both ends of a connection are away nobody asks for it."""
        if how == "kill":
            self._lock.leave(self.name, [p for n, p in self._pairs.items() if self.outside(n)], self._image)
        else:
            self._lock.lift()

    def after(self, how: str) -> None:
        """It has been. A connection that is closed under repair says nothing to its peer."""
        for fd in self._fds:
            if how == "kill":
                tcp_repair.put(fd, inet.TCP_REPAIR, inet.REPAIR_ON)
            os.close(fd)
        self._fds = []
        self._lock.close()


class Return:
    """Saved connections, held off while they are made again (`replant.resources.protocol.Hold`)."""

    def __init__(self, saved: Sequence[tuple[bytes, Connection]]) -> None:
        """Rows of an own address and a connection. :raises Blocker: we may not. Then nothing is held."""
        self._names = {connection.lock for _, connection in saved} - {""}
        pairs = [(own, connection.peer) for own, connection in saved if connection.state in WITH_PEER]
        self._lock = Lock()
        try:
            if pairs:
                self._lock.take(pairs)
            with Diag() as diag:
                for pair in pairs:
                    diag.destroy(*pair)
        except BaseException:
            self._lock.close()
            raise

    def before(self, how: str) -> None:
        """The tree is complete."""
        self._lock.lift(self._names)

    def after(self, how: str) -> None:
        """It runs, or it could not be made: then it is held off as before."""
        self._lock.close()


def read(f: FileFacts, state: int, hold: Hold, dump: DumpSide) -> Connection:
    """A connection in one of the states `WITH_PEER`."""
    fd, found = f.grab(), hold.found(f.number)
    fin_sent, fin_received = state in FIN_SENT, state in FIN_RECEIVED
    length = found.outstanding - (fin_sent and found.outstanding > 0)
    send, receive = found.data[len(found.data) - length :], unread(fd)
    info = socket.get(fd, inet.IPPROTO_TCP, inet.TCP_INFO, sock_diag.TCP_INFO_HEAD_SIZE) or b""
    options, scales = info[5], info[6]
    scaled = bool(options & inet.INFO_SCALE)
    return Connection(
        state=state,
        peer=socket.name(fd, x86_64.getpeername),
        lock=hold.name if hold.outside(f.number) else "",
        read=found.read - fin_received - len(receive) & 0xFFFFFFFF,
        write=found.write - fin_sent - len(send) & 0xFFFFFFFF,
        receive=(dump.keep(receive),) if receive else (),
        send=(dump.keep(send),) if send else (),
        unsent=found.unsent - (fin_sent and found.unsent > 0),
        mss=found.mss,
        send_scale=scales & 15 if scaled else -1,
        receive_scale=scales >> 4 if scaled else -1,
        sack=bool(options & inet.INFO_SACK),
        clock=found.clock if options & inet.INFO_TIMESTAMPS else -1,
        window=found.window,
        deaf=bool(poll.poll_now(fd, poll.POLLRDHUP) & poll.POLLRDHUP),
    )


def unread(fd: int) -> bytes:
    """What is received and not yet read."""
    buffer = bytearray(socket.queued(fd))
    return bytes(buffer[: tcp_repair.peek(fd, buffer)]) if buffer else b""


def connecting(f: FileFacts) -> Connection:
    """A socket in SYN_SENT. :raises Blocker: data waits to go with the first packet."""
    from socket import inet_pton

    from replant.observe.sockets import TCP
    from replant.observe.sockets import Diag as Listing

    with Listing() as diag:
        told = next(s for s in diag.inet((TCP,)) if s.inode == f.ino)
    if told.wqueue > 1:  # more than the SYN
        raise refuse(f, "data waits to go out with its first packet", "wait until it is connected", "tcp-fast-open")
    peer = inet.pack(told.family, inet_pton(told.family, told.target[0]), told.target[1], told.interface)
    return _idle(socket.TCP_SYN_SENT, peer)


def over(f: FileFacts) -> Connection:
    """A socket whose connection has ended. :raises Blocker: there is something left to read."""
    if socket.queued(f.grab()):
        raise refuse(f, "data is unread, and its connection has ended", "let the program read it", "tcp-unread")
    return closed()


def closed(lock: str = "") -> Connection:
    """A connection that has ended, and holds nothing any more."""
    return _idle(socket.TCP_CLOSE, lock=lock)


def _idle(state: int, peer: bytes = b"", lock: str = "") -> Connection:
    return Connection(state, peer, lock, 0, 0, (), (), 0, 0, -1, -1, False, -1, b"", state == socket.TCP_CLOSE)
