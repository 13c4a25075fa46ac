"""Netlink sockets: protocol, port id, groups, whom they are connected to, options, packet filter (netlink(7)).

What the kernel's side of a protocol remembers of a port is not kept: refused are sockets with an unread answer or a
dump half read (``pending`` ``skip`` leaves the messages out), those that own queues or logs of the packet filter, the
port of the audit system, and listeners to process events. What generic netlink families remember cannot be seen.
"""

from __future__ import annotations

import struct
from stat import S_ISSOCK

from replant.abi import libc, netlink, poll, sock_diag, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, network, sockopt
from replant.resources.shared import filter as packet_filter
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_OPTIONS = (
    netlink.NETLINK_PKTINFO, netlink.NETLINK_BROADCAST_ERROR, netlink.NETLINK_NO_ENOBUFS,
    netlink.NETLINK_LISTEN_ALL_NSID, netlink.NETLINK_CAP_ACK, netlink.NETLINK_EXT_ACK, netlink.NETLINK_GET_STRICT_CHK,
)  # fmt: skip
_KNOWN: sockopt.Known = (*sockopt.GENERAL, *[(netlink.SOL_NETLINK, option, 4) for option in _OPTIONS])
_ADDRESS = struct.Struct(netlink.SOCKADDR)
_DUMP_RUNNING = 1  # NDIAG_FLAG_CB_RUNNING
_OWNERS = "/proc/net/netfilter/nfnetlink_queue", "/proc/net/netfilter/nfnetlink_log"
_EADDRINUSE = 98


class State(Frozen):
    """``port`` is 0 for a socket that is not bound, ``groups`` are numbers from 1, ``peer`` is (port, group mask)."""

    type: int
    protocol: int
    port: int
    groups: tuple[int, ...]
    peer: tuple[int, int]
    buffers: sockopt.Buffers
    options: tuple[sockopt.Option, ...]
    filter: packet_filter.Filter


def claims(f: FileFacts) -> bool:
    """Any socket of the family."""
    return S_ISSOCK(f.mode) and socket.number(f.grab(), socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_NETLINK


def read(f: FileFacts, dump: DumpSide) -> State:
    """Everything about one socket. :raises Blocker: see the module."""
    fd = f.grab()
    network.ours(f)
    type_, protocol = (socket.number(fd, socket.SOL_SOCKET, o) for o in (socket.SO_TYPE, socket.SO_PROTOCOL))
    _, port, _ = _ADDRESS.unpack(socket.name(fd))
    _, *peer = _ADDRESS.unpack(socket.name(fd, x86_64.getpeername) or bytes(_ADDRESS.size))
    groups = _groups(fd)
    _no_messages(f, protocol, dump)
    _no_owner(f, protocol, port, groups)
    return State(
        type_, protocol, port, groups, (peer[0], peer[1]), sockopt.buffers(fd),
        sockopt.read(fd, (socket.AF_NETLINK, type_, protocol), _KNOWN), packet_filter.read(f),
    )  # fmt: skip


def _groups(fd: int) -> tuple[int, ...]:
    words = socket.get(fd, netlink.SOL_NETLINK, netlink.NETLINK_LIST_MEMBERSHIPS, 128) or b""
    mask = int.from_bytes(words, "little")
    return tuple(bit + 1 for bit in range(mask.bit_length()) if mask >> bit & 1)


def _no_messages(f: FileFacts, protocol: int, dump: DumpSide) -> None:
    if dump.policy("pending") == "skip":
        return
    hint = "let the program read them, or leave them out: --pending skip"
    if poll.poll_now(f.grab(), poll.POLLIN) & (poll.POLLIN | poll.POLLERR):
        raise refuse(f, "messages, or an error, are unread in it", hint, "pending")
    if _dumps(f.ino, protocol):
        raise refuse(f, "it has not yet read the whole answer to a request", hint, "pending")


def _dumps(ino: int, protocol: int) -> bool:
    """Whether the kernel is in the middle of an answer; only sock_diag(7) tells, and not for one socket alone."""
    from replant.observe import netlink as exchange

    request = struct.pack(sock_diag.NETLINK_REQUEST, socket.AF_NETLINK, protocol, 0, 0, sock_diag.NETLINK_SHOW_ALL, 0)
    with exchange.open_diag() as diag:
        for answer in exchange.dump(diag, request):
            if struct.unpack_from(sock_diag.NETLINK_ANSWER, answer)[7] == ino:
                found = dict(netlink.attributes(answer, sock_diag.NETLINK_ANSWER_SIZE))
                return bool(int.from_bytes(found.get(sock_diag.NETLINK_FLAGS, b""), "little") & _DUMP_RUNNING)
    return False


def _no_owner(f: FileFacts, protocol: int, port: int, groups: tuple[int, ...]) -> None:
    if protocol == netlink.NETLINK_AUDIT and (port or groups):
        raise refuse(f, "the audit system may send to its port", "stop the audit daemon before the dump")
    if protocol == netlink.NETLINK_CONNECTOR and groups:
        raise refuse(f, "it listens to events of the connector, which it has asked the kernel for", "close it first")
    if protocol == netlink.NETLINK_NETFILTER and port and port in _netfilter_owners():
        raise refuse(f, "queues or logs of the packet filter are bound to it", "unbind them before the dump")


def _netfilter_owners() -> set[int]:
    """The second word of each line is the port."""
    found = set()
    for path in _OWNERS:
        try:
            with open(path) as file:
                found |= {int(line.split()[1]) for line in file}
        except FileNotFoundError:  # a kernel without it
            continue
    return found


def check(file: File) -> None:
    """:raises Blocker: somebody has the port."""
    state = _state(file)
    if not state.port:
        return
    fd = libc.syscall(x86_64.socket, socket.AF_NETLINK, state.type, state.protocol)
    try:
        address = _ADDRESS.pack(socket.AF_NETLINK, state.port, 0)
        if libc.syscall_raw(x86_64.bind, fd, address, len(address)) == -_EADDRINUSE:
            name = f"netlink port {state.port}"
            raise hinder(file, name, f"somebody has it (protocol {state.protocol})", "stop who has it", "port-taken")
    finally:
        libc.syscall(x86_64.close, fd)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, filter, bind, join, connect, set options."""
    return [_make(_state(file), on) for file in files]


def _make(state: State, on: Track) -> Slot:
    fd = on.call(x86_64.socket, socket.AF_NETLINK, state.type, state.protocol, why="netlink socket")
    sockopt.put_buffers(on, fd, state.buffers)
    packet_filter.put(on, fd, state.filter)
    if state.port:
        address = _ADDRESS.pack(socket.AF_NETLINK, state.port, 0)
        on.call(x86_64.bind, fd, address, len(address), why=f"port {state.port}")
    for group in state.groups:
        number = group.to_bytes(4, "little")
        level, join = netlink.SOL_NETLINK, netlink.NETLINK_ADD_MEMBERSHIP
        on.call(x86_64.setsockopt, fd, level, join, number, 4, why=f"group {group}")
    if any(state.peer):
        address = _ADDRESS.pack(socket.AF_NETLINK, *state.peer)
        on.call(x86_64.connect, fd, address, len(address), why="connect")
    sockopt.put(on, fd, state.options)
    return fd


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Every field."""
    return compare.fields(before, after)
