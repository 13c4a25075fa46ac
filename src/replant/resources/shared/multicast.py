"""Whether a socket is a member of a multicast group.

The kernel does not list the groups of a socket, but tells for a given group whether a socket has it: so all groups of
the network namespace are tried.
"""

from __future__ import annotations

import struct

from replant.abi import inet, libc, socket, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def membership(fd: int, family: int) -> str:
    """A group that socket ``fd`` has joined, ``""`` if there is none."""
    for index, group in _groups4():
        address = struct.pack("=H2x", socket.AF_INET) + group
        if _has(fd, inet.IPPROTO_IP, _group_filter(index, address)):
            return ".".join(map(str, group))
    if family == socket.AF_INET6:
        for index, group in _groups6():
            address = struct.pack("=H6x", socket.AF_INET6) + group
            if _has(fd, inet.IPPROTO_IPV6, _group_filter(index, address)):
                return group.hex()
    return ""


def _has(fd: int, level: int, wanted: bytearray) -> bool:
    length = bytearray(len(wanted).to_bytes(4, "little"))
    return libc.syscall_raw(x86_64.getsockopt, fd, level, inet.MCAST_MSFILTER, wanted, length) == 0


def _group_filter(index: int, address: bytes) -> bytearray:
    """``struct group_filter`` without sources: interface, padding, sockaddr_storage, mode, number of sources."""
    return bytearray(struct.pack("=I4x", index) + address.ljust(128, b"\0") + struct.pack("=II", 0, 0))


def _groups4() -> Iterator[tuple[int, bytes]]:
    """/proc/net/igmp: an interface with its index, then its groups as hexadecimal numbers."""
    index = 0
    for line in _lines("/proc/net/igmp"):
        if not line.startswith("\t"):
            index = int(line.split()[0])
        else:
            yield index, int(line.split()[0], 16).to_bytes(4, "little")


def _groups6() -> Iterator[tuple[int, bytes]]:
    """/proc/net/igmp6: a group a line: index and name of the interface, address."""
    for line in _lines("/proc/net/igmp6", header=0):
        index, _, group = line.split()[:3]
        yield int(index), bytes.fromhex(group)


def _lines(path: str, header: int = 1) -> list[str]:
    try:
        with open(path) as file:
            return file.read().splitlines()[header:]
    except FileNotFoundError:  # the kernel has no multicast, or no IPv6
        return []
