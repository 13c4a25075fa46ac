"""What the kernel still has of a connection that is to be made again: sockets without a program, asked of sock_diag(7).

A tree that was killed by somebody else leaves sockets that try to end their connections (FIN_WAIT, TIME_WAIT, …) with
the very addresses that the restored ones need. Nobody can use them any more, so they make room.
"""

from __future__ import annotations

from struct import pack, unpack_from

from replant.abi import inet, libc, netlink, sock_diag, socket, x86_64

_NO_COOKIE = b"\xff" * 8
_WITH_INFO = 1 << sock_diag.INET_INFO - 1  # and only with it what a socket signs with


class Diag:
    """A sock_diag socket; for use in a ``with``."""

    def __enter__(self) -> Diag:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._fd = libc.syscall(x86_64.socket, netlink.AF_NETLINK, kind, netlink.NETLINK_SOCK_DIAG)
        return self

    def __exit__(self, *_: object) -> None:
        libc.syscall(x86_64.close, self._fd)

    def owner(self, local: bytes, peer: bytes) -> int | None:
        """The inode of the socket with these addresses, 0 if no program has it any more, None if there is none."""
        kind, body = self._ask(sock_diag.SOCK_DIAG_BY_FAMILY, local, peer, 0)
        if kind == netlink.NLMSG_ERROR:
            return None
        inode: int = unpack_from(sock_diag.INET_ANSWER, body)[-1]
        return inode

    def signs(self, local: bytes, peer: bytes) -> bool:
        """Whether the socket with these addresses has keys to sign its segments with (TCP_MD5SIG)."""
        kind, body = self._ask(sock_diag.SOCK_DIAG_BY_FAMILY, local, peer, 0)
        found = netlink.attributes(body, sock_diag.INET_ANSWER_SIZE)
        return kind != netlink.NLMSG_ERROR and any(name == sock_diag.INET_MD5SIG for name, _ in found)

    def destroy(self, local: bytes, peer: bytes) -> None:
        """Take away a socket that no program has."""
        if self.owner(local, peer) == 0:
            self._ask(sock_diag.SOCK_DESTROY, local, peer, netlink.F_ACK)

    def _ask(self, kind: int, local: bytes, peer: bytes, flags: int) -> tuple[int, bytes]:
        family = int.from_bytes(local[:2], "little")
        hosts = inet.host(local).ljust(16, b"\0") + inet.host(peer).ljust(16, b"\0")
        id_ = local[2:4] + peer[2:4] + hosts + bytes(4) + _NO_COOKIE
        body = pack(sock_diag.INET_REQUEST, family, inet.IPPROTO_TCP, _WITH_INFO, 0, sock_diag.ALL_STATES, id_)
        length = netlink.HEADER_SIZE + len(body)
        request = pack(netlink.HEADER, length, kind, netlink.F_REQUEST | flags, 1, 0) + body
        libc.syscall(x86_64.sendto, self._fd, request, length, 0, 0, 0)
        answer = bytearray(1 << 14)
        size = libc.syscall(x86_64.recvfrom, self._fd, answer, len(answer), 0, 0, 0)
        return next(netlink.messages(bytes(answer[:size])))
