"""Packet sockets (packet(7)), the obsolete type too: protocol, interface, options, memberships, fan-out, filter.

The interfaces have to be there again with their indices. Refused are sockets with unread packets (``pending`` ``skip``
leaves them out), rings, a fan-out that a program decides (it cannot be read), and errors not yet told. The counters of
packets seen and dropped begin anew: reading them would set them to zero.
"""

from __future__ import annotations

import struct
from stat import S_ISSOCK

from replant.abi import netlink, packet, poll, sock_diag, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, network, sockopt
from replant.resources.shared import filter as packet_filter
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
#: in an order in which they can be set: the header of a virtual network before its size
_OPTIONS = (
    packet.VERSION, packet.RESERVE, packet.AUXDATA, packet.ORIGDEV, packet.VNET_HDR, packet.VNET_HDR_SZ, packet.LOSS,
    packet.TIMESTAMP, packet.TX_HAS_OFF, packet.QDISC_BYPASS, packet.IGNORE_OUTGOING,
)  # fmt: skip
_KNOWN: sockopt.Known = (*sockopt.GENERAL, *[(packet.SOL_PACKET, option, 4) for option in _OPTIONS])
_TYPE = 16  # the shift of a fan-out's type, which has its flags above it
_HINT = "let the program read them, or leave them out: --pending skip"


class Membership(Frozen):
    """``kind`` is PACKET_MR_*, ``times`` how often it was joined."""

    interface: network.Interface
    times: int
    kind: int
    address: bytes


class State(Frozen):
    """``protocol`` as it stands on the wire, 0: none; ``interface`` 0: all. ``fanout`` as PACKET_FANOUT takes it."""

    type: int
    protocol: int
    interface: network.Interface
    copy_threshold: int
    memberships: tuple[Membership, ...]
    fanout: int
    buffers: sockopt.Buffers
    options: tuple[sockopt.Option, ...]
    filter: packet_filter.Filter


def claims(f: FileFacts) -> bool:
    """Any socket of the family."""
    return S_ISSOCK(f.mode) and socket.number(f.grab(), socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_PACKET


def read(f: FileFacts, dump: DumpSide) -> State:
    """Everything about one socket. :raises Blocker: see the module."""
    fd = f.grab()
    network.ours(f)
    events = poll.poll_now(fd, poll.POLLIN)
    if events & poll.POLLERR:
        raise refuse(f, "an error is pending on it (its interface is gone, or down)", "let the program read it")
    if events & poll.POLLIN and dump.policy("pending") != "skip":
        raise refuse(f, "packets that are not yet read are queued in it", _HINT, "pending")
    type_ = socket.number(fd, socket.SOL_SOCKET, socket.SO_TYPE)
    protocol, found = _diag(f)
    if {packet.DIAG_RX_RING, packet.DIAG_TX_RING} & found.keys():
        raise refuse(f, "it has a ring of buffers", "let the program do without one", "packet-ring")
    number, _, _, threshold, _, _ = struct.unpack_from(packet.INFO, found[packet.DIAG_INFO])
    return State(
        type_, protocol, network.interface(number), threshold,
        tuple(_memberships(found.get(packet.DIAG_MCLIST, b""))), _fanout(f), sockopt.buffers(fd),
        sockopt.read(fd, (socket.AF_PACKET, type_, 0), _KNOWN), packet_filter.read(f),
    )  # fmt: skip


def _diag(f: FileFacts) -> tuple[int, dict[int, bytes]]:
    """Protocol and attributes of sock_diag(7), which has no way to ask for one socket alone."""
    from replant.observe import netlink as exchange

    show = sock_diag.PACKET_SHOW_ALL
    request = struct.pack(sock_diag.PACKET_REQUEST, socket.AF_PACKET, 0, 0, f.ino, show, 0xFFFFFFFFFFFFFFFF)
    with exchange.open_diag() as diag:
        for answer in exchange.dump(diag, request):
            _, _, protocol, ino, _ = struct.unpack_from(sock_diag.PACKET_ANSWER, answer)
            if ino == f.ino:
                return protocol, dict(netlink.attributes(answer, sock_diag.PACKET_ANSWER_SIZE))
    raise refuse(f, "the kernel tells nothing about it (CONFIG_PACKET_DIAG)", "close it before the dump")


def _memberships(data: bytes) -> Iterable[Membership]:
    """In the order in which they were joined; the kernel tells the last one first."""
    for number, times, kind, length, address in reversed([*struct.iter_unpack(packet.MCLIST, data)]):
        yield Membership(network.interface(number), times, kind, address[:length])


def _fanout(f: FileFacts) -> int:
    fanout = socket.number(f.grab(), packet.SOL_PACKET, packet.FANOUT)
    if (fanout >> _TYPE) & 0xFF in (packet.FANOUT_CBPF, packet.FANOUT_EBPF):
        raise refuse(
            f, "a program shares out the packets of its group, and cannot be read", "use another way", "filter"
        )
    return fanout


def check(file: File) -> None:
    """:raises Blocker: an interface is gone, or has another index."""
    state = _state(file)
    for interface in (state.interface, *[m.interface for m in state.memberships]):
        network.check(file, interface)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create without a protocol, so that nothing arrives before the filter; bind, join."""
    return [_make(_state(file), on) for file in files]


def _make(state: State, on: Track) -> Slot:
    old = state.type == packet.SOCK_PACKET
    wire = int.from_bytes(state.protocol.to_bytes(2, "big"), "little") if old else 0
    fd = on.call(x86_64.socket, socket.AF_PACKET, state.type, wire, why="packet socket")
    packet_filter.put(on, fd, state.filter)
    sockopt.put_buffers(on, fd, state.buffers)
    sockopt.put(on, fd, state.options)
    if state.copy_threshold:
        _set(on, fd, packet.COPY_THRESH, state.copy_threshold.to_bytes(4, "little"), "copy threshold")
    if state.protocol or state.interface.number:
        _bind(on, fd, state)
    for m in state.memberships:
        request = struct.pack(packet.MEMBERSHIP, m.interface.number, m.kind, len(m.address), m.address)
        for _ in range(m.times):
            _set(on, fd, packet.ADD_MEMBERSHIP, request, f"membership on {m.interface.name}")
    if state.fanout:
        _set(on, fd, packet.FANOUT, struct.pack("=i", state.fanout), "fan-out")
    return fd


def _bind(on: Track, fd: Slot, state: State) -> None:
    wire = int.from_bytes(state.protocol.to_bytes(2, "big"), "little")
    address = struct.pack(packet.SOCKADDR, socket.AF_PACKET, wire, state.interface.number, 0, 0, 0, b"")
    if state.type == packet.SOCK_PACKET:
        address = struct.pack(packet.SOCKADDR_OLD, socket.AF_PACKET, state.interface.name.encode())
        if not state.interface.number:
            return  # its protocol was given to socket(2)
    on.call(x86_64.bind, fd, address, len(address), why=f"bind to {state.interface.name or 'all interfaces'}")


def _set(on: Track, fd: Slot, option: int, value: bytes, why: str) -> None:
    on.call(x86_64.setsockopt, fd, packet.SOL_PACKET, option, value, len(value), why=why)


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Every field."""
    return compare.fields(before, after)
