"""A netlink socket for dumps: one request, many answers, in any network namespace."""

from __future__ import annotations

import _thread
import os
import socket
from struct import pack, unpack_from

from ..abi import netlink, sock_diag, x86_64
from ..abi.libc import syscall
from ..errors import ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_TRIES = 5
_BUFFER = 1 << 18


def open_diag(namespace: int | None = None) -> socket.socket:
    """A sock_diag socket, of the network namespace behind a descriptor if one is given.

    :raises OSError: EPERM where the caller may not enter the namespace.
    """
    if namespace is None:
        return socket.socket(netlink.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, netlink.NETLINK_SOCK_DIAG)
    return _open_in(namespace)


def _open_in(namespace: int) -> socket.socket:
    # a socket stays in the namespace where it was made, so a thread of its own goes there, and nobody else has to
    result: list[socket.socket | OSError] = []
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        try:
            syscall(x86_64.setns, namespace, _CLONE_NEWNET)
            result.append(open_diag())
        except OSError as error:
            result.append(error)
        finally:
            done.release()

    _thread.start_new_thread(work, ())
    done.acquire()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


def dump(sock: socket.socket, request: bytes) -> list[bytes]:
    """The payloads of all answers to a sock_diag request; none where the kernel has no such family.

    :raises ReplantError: the table changes faster than it can be read; the code is ``busy``.
    """
    for _ in range(_TRIES):
        found, whole = _once(sock, request)
        if whole:
            return found
    raise ReplantError(
        "the table of sockets changes faster than it can be read",
        code="busy",
        hint="stop what opens and closes sockets all the time, or try again",
    )


def _once(sock: socket.socket, request: bytes) -> tuple[list[bytes], bool]:
    length = netlink.HEADER_SIZE + len(request)
    flags = netlink.F_REQUEST | netlink.F_DUMP
    sock.send(pack(netlink.HEADER, length, sock_diag.SOCK_DIAG_BY_FAMILY, flags, 0, 0) + request)
    found: list[bytes] = []
    whole = True
    while True:
        data = sock.recv(_BUFFER)
        at = 0
        while at < len(data):
            size, kind, flags, _, _ = unpack_from(netlink.HEADER, data, at)
            whole = whole and not flags & netlink.F_DUMP_INTR
            if kind == netlink.NLMSG_DONE:
                return found, whole
            if kind == netlink.NLMSG_ERROR:
                return _refused(data, at, found), whole
            found.append(data[at + netlink.HEADER_SIZE : at + size])
            at += netlink.align(size)


def _refused(data: bytes, at: int, found: list[bytes]) -> list[bytes]:
    number = -unpack_from("=i", data, at + netlink.HEADER_SIZE)[0]
    # ENOENT, EINVAL, EPROTONOSUPPORT: a family or protocol that this kernel has no diag module for
    if number in (2, 22, 93, 95):
        return found
    raise OSError(number, os.strerror(number))


def attributes(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The attributes from byte ``at`` on, as (type, value)."""
    while at + netlink.ATTRIBUTE_SIZE <= len(data):
        size, kind = unpack_from(netlink.ATTRIBUTE, data, at)
        yield kind, data[at + netlink.ATTRIBUTE_SIZE : at + size]
        at += netlink.align(size)
