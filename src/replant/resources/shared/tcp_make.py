"""Connections made again by TCP_REPAIR: in the restorer without a packet sent, then woken when the tree is complete.

What was sent and not acknowledged goes into the queue as sent: the peer may have it, and acknowledge it at any moment.
What was never sent, the program's FIN included, is sent only when the connection is woken. A FIN of the peer, which it
will not send again, comes to the socket by a raw socket of ours, as if from the peer.
"""

from __future__ import annotations

import struct

from replant.abi import inet, segment, socket, x86_64
from replant.resources.shared import inet as common
from replant.resources.shared import sockopt
from replant.resources.shared.packet_lock import plain_host
from replant.resources.shared.tcp_connection import FIN_RECEIVED, FIN_SENT, WITH_PEER, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track
    from replant.resources.protocol import RestoreSide

_ENOTCONN, _EINPROGRESS = 107, 115
_F_GETFL, _F_SETFL, _O_NONBLOCK = 3, 4, 0o4000
_SHUT_RD, _SHUT_WR, _SHUT_RDWR = 0, 1, 2
_CHUNK = 1 << 16  # as much as one packet of the receive queue may hold
_CORK = (inet.IPPROTO_TCP, inet.TCP_CORK)
_REUSE = (socket.SOL_SOCKET, socket.SO_REUSEADDR)


def make(on: Track, kept: common.Socket, saved: Connection, restore: RestoreSide) -> Slot:
    """A socket under repair, with addresses and, where it has a peer, connected; nothing is sent."""
    options = [o for o in kept.options if (o.level, o.option) != _CORK]
    fd = common.create(on, socket.SOCK_STREAM, inet.IPPROTO_TCP, kept._replace(options=tuple(options)), always=True)
    _repair(on, fd, inet.REPAIR_ON, "under repair, any port can be had, and nothing is sent")
    common.bind(on, fd, kept)
    if saved.state in WITH_PEER:
        receive, send = (b"".join(map(restore.load, e)) for e in (saved.receive, saved.send))
        _number(on, fd, inet.RECEIVE_QUEUE, saved.read)
        _number(on, fd, inet.SEND_QUEUE, saved.write)
        on.call(x86_64.connect, fd, saved.peer, len(saved.peer), why=f"connection to {inet.show(saved.peer)}")
        _negotiated(on, fd, saved)
        sockopt.roomy(on, fd, 2 * len(send) + _CHUNK)
        sockopt.roomy(on, fd, 2 * len(receive) + _CHUNK, socket.SO_RCVBUFFORCE)
        _fill(on, fd, inet.RECEIVE_QUEUE, receive, "received, not yet read")
        _fill(on, fd, inet.SEND_QUEUE, send[: len(send) - saved.unsent], "sent, not acknowledged")
        _windows(on, fd, saved, len(receive))
    return fd


def wake(on: Track, fd: Slot | int, kept: common.Socket, saved: Connection, restore: RestoreSide) -> None:
    """The connection goes on: the peer is asked what it has, what was never sent is, ends that were shut are shut."""
    _repair(on, fd, inet.REPAIR_OFF, "the end of the repair; the peer is asked to answer")
    sockopt.put(on, fd, [o for o in kept.options if (o.level, o.option) in (_CORK, _REUSE)], "which repair has changed")
    if saved.state == socket.TCP_SYN_SENT:
        _connect(on, fd, saved)
    elif saved.state == socket.TCP_CLOSE:
        on.call(x86_64.shutdown, fd, _SHUT_RDWR, why="a connection that is over", ok=(_ENOTCONN,))
    else:
        _go_on(on, fd, kept, saved, restore)


def _go_on(on: Track, fd: Slot | int, kept: common.Socket, saved: Connection, restore: RestoreSide) -> None:
    unsent = b"".join(map(restore.load, saved.send))[-saved.unsent :] if saved.unsent else b""
    for start in range(0, len(unsent), _CHUNK):
        _send(on, fd, unsent[start : start + _CHUNK], "not yet sent")
    if saved.state in (socket.TCP_CLOSE_WAIT, socket.TCP_LAST_ACK):
        _end_of_peer(on, kept, saved)
    if saved.state in FIN_SENT:
        on.call(x86_64.shutdown, fd, _SHUT_WR, why="the program has ended its side")
    if saved.state == socket.TCP_CLOSING:
        _end_of_peer(on, kept, saved)
    if saved.deaf and saved.state not in FIN_RECEIVED:
        on.call(x86_64.shutdown, fd, _SHUT_RD, why="it will not read", ok=(_ENOTCONN,))
    sockopt.put_buffers(on, fd, kept.buffers, always=True)


def _repair(on: Track, fd: Slot | int, value: int, why: str) -> None:
    _set(on, fd, inet.TCP_REPAIR, value.to_bytes(4, "little", signed=True), why)


def _set(on: Track, fd: Slot | int, option: int, value: bytes, why: str) -> None:
    on.call(x86_64.setsockopt, fd, inet.IPPROTO_TCP, option, value, len(value), why=why)


def _number(on: Track, fd: Slot | int, queue: int, value: int) -> None:
    _set(on, fd, inet.TCP_REPAIR_QUEUE, queue.to_bytes(4, "little"), "which queue")
    _set(on, fd, inet.TCP_QUEUE_SEQ, value.to_bytes(4, "little"), "its sequence number")


def _negotiated(on: Track, fd: Slot | int, saved: Connection) -> None:
    options = [(inet.OPT_MSS, saved.mss)]
    if saved.send_scale >= 0:
        options.append((inet.OPT_SCALE, saved.send_scale | saved.receive_scale << 16))
    if saved.sack:
        options.append((inet.OPT_SACK, 0))
    if saved.clock >= 0:
        options.append((inet.OPT_TIMESTAMP, 0))
    rows = b"".join(struct.pack("=II", *row) for row in options)
    _set(on, fd, inet.TCP_REPAIR_OPTIONS, rows, "what both ends have agreed upon")
    if saved.clock >= 0:
        _set(on, fd, inet.TCP_TIMESTAMP, saved.clock.to_bytes(4, "little"), "the clock of its timestamps goes on")


def _fill(on: Track, fd: Slot | int, queue: int, data: bytes, why: str) -> None:
    if data:
        _set(on, fd, inet.TCP_REPAIR_QUEUE, queue.to_bytes(4, "little"), "which queue")
        for start in range(0, len(data), _CHUNK):
            _send(on, fd, data[start : start + _CHUNK], why)
        _set(on, fd, inet.TCP_REPAIR_QUEUE, inet.NO_QUEUE.to_bytes(4, "little"), "none any more")


def _send(on: Track, fd: Slot | int, data: bytes, why: str) -> None:
    on.call(x86_64.sendto, fd, data, len(data), socket.MSG_DONTWAIT, 0, 0, why=why)


def _windows(on: Track, fd: Slot | int, saved: Connection, received: int) -> None:
    """A FIN that was received is so no longer: the window begins before it."""
    updated, send, largest, receive, advertised = struct.unpack("=5I", saved.window)
    fin = advertised == saved.read + received + 1 & 0xFFFFFFFF
    window = struct.pack("=5I", updated, send, largest, receive + fin, advertised - fin & 0xFFFFFFFF)
    _set(on, fd, inet.TCP_REPAIR_WINDOW, window, "windows")


def _connect(on: Track, fd: Slot | int, saved: Connection) -> None:
    flags = on.call(x86_64.fcntl, fd, _F_GETFL, 0)
    on.call(x86_64.fcntl, fd, _F_SETFL, _O_NONBLOCK, why="nobody waits here")
    why = f"connecting to {inet.show(saved.peer)}"
    on.call(x86_64.connect, fd, saved.peer, len(saved.peer), why=why, ok=(_EINPROGRESS,))
    on.call(x86_64.fcntl, fd, _F_SETFL, flags, why="status flags")


def _end_of_peer(on: Track, kept: common.Socket, saved: Connection) -> None:
    """The FIN of the peer, again: the next in sequence, acknowledging nothing new."""
    end = saved.read + sum(e.length for e in saved.receive) & 0xFFFFFFFF
    room = min(struct.unpack_from("=5I", saved.window)[1] >> max(saved.send_scale, 0), 0xFFFF)
    source, target = plain_host(saved.peer), plain_host(kept.address)
    ports = saved.peer[2:4] + kept.address[2:4]
    data = segment.packet(source, target, ports, end, saved.write, segment.FIN | segment.ACK, room)
    family = socket.AF_INET if len(target) == 4 else socket.AF_INET6
    to = struct.pack("=HH4s8x", family, 0, target) if len(target) == 4 else inet.with_port(kept.address, 0)
    raw = on.call(x86_64.socket, family, socket.SOCK_RAW, segment.IPPROTO_RAW, why="to speak for the peer")
    on.call(x86_64.sendto, raw, data, len(data), 0, to, len(to), why="the peer has ended its side")
    on.call(x86_64.close, raw)
