"""One unix socket as sock_diag(7) shows it: state, name, peer, queue, shut-down directions."""

from __future__ import annotations

import struct

from replant.abi import libc, netlink, sock_diag, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.resources.protocol import FileFacts

_NO_COOKIE = 0xFFFFFFFFFFFFFFFF


class Diag(Frozen):
    """``peer``: inode of the peer, 0 if that is closed, -1 if there never was one.

    ``name`` is sun_path as it was bound, ``file`` the (device, inode) made by that. Of a listener ``waiting`` are the
    inodes of those whose connections are not yet accepted, in order, 0 for one that has closed; ``backlog`` is its
    limit. ``shutdown``: 1 for receiving, 2 for sending.
    """

    type: int
    state: int
    name: bytes
    file: tuple[int, int]
    peer: int
    waiting: tuple[int, ...]
    backlog: int
    shutdown: int


def ask(f: FileFacts, ino: int = 0) -> Diag:
    """Ask the kernel for the socket with the inode of ``f``, or another one.

    :raises Blocker: it is in another network namespace.
    """
    request = struct.pack(
        sock_diag.UNIX_REQUEST,
        socket.AF_UNIX,
        0,
        0,
        sock_diag.ALL_STATES,
        ino or f.ino,
        sock_diag.UNIX_SHOW_ALL,
        _NO_COOKIE,
    )
    header = struct.pack(
        netlink.HEADER, netlink.HEADER_SIZE + len(request), sock_diag.SOCK_DIAG_BY_FAMILY, netlink.F_REQUEST, 1, 0
    )
    answer = _exchange(header + request)
    length, kind = struct.unpack_from("=IH", answer)
    if kind == netlink.NLMSG_ERROR:
        raise refuse(f, "the socket is in another network namespace", "dump from the namespace of the program")
    start = netlink.HEADER_SIZE
    _, type_, state, _, _, _ = struct.unpack_from(sock_diag.UNIX_ANSWER, answer, start)
    return _diag(type_, state, _attributes(answer[start + sock_diag.UNIX_ANSWER_SIZE : length]))


def _exchange(message: bytes) -> bytes:
    fd = libc.syscall(x86_64.socket, socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETLINK_SOCK_DIAG)
    try:
        libc.syscall(x86_64.write, fd, message, len(message))
        buffer = bytearray(1 << 16)
        return bytes(buffer[: libc.syscall(x86_64.read, fd, buffer, len(buffer))])
    finally:
        libc.syscall(x86_64.close, fd)


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= netlink.ATTRIBUTE_SIZE:
        length, kind = struct.unpack_from(netlink.ATTRIBUTE, data)
        found[kind] = data[netlink.ATTRIBUTE_SIZE : length]
        data = data[netlink.align(length) :]
    return found


def _diag(type_: int, state: int, found: dict[int, bytes]) -> Diag:
    ino, dev = struct.unpack("=II", found.get(sock_diag.UNIX_VFS, bytes(8)))
    peer = found.get(sock_diag.UNIX_PEER)
    queue = struct.unpack("=II", found.get(sock_diag.UNIX_RQLEN, bytes(8)))
    waiting = found.get(sock_diag.UNIX_ICONS, b"")
    return Diag(
        type_,
        state,
        found.get(sock_diag.UNIX_NAME, b""),
        (dev, ino),
        -1 if peer is None else int.from_bytes(peer, "little"),
        struct.unpack(f"={len(waiting) // 4}I", waiting),
        queue[1] if state == socket.TCP_LISTEN else 0,
        found.get(sock_diag.UNIX_SHUTDOWN, b"\0")[0],
    )
