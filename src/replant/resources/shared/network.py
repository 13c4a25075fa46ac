"""Where a socket is: its network namespace, and the interfaces of that."""

from __future__ import annotations

import os

from replant.abi import libc, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.model.tree import File
    from replant.resources.protocol import FileFacts

_SIOCGSKNS = 0x894C


class Interface(Frozen):
    """An interface of the network by its index; 0: none, or all."""

    number: int
    name: str


def ours(f: FileFacts) -> None:
    """:raises Blocker: the socket is in another network namespace than ours."""
    namespace = libc.syscall(x86_64.ioctl, f.grab(), _SIOCGSKNS, 0)
    try:
        found = os.fstat(namespace).st_ino
    finally:
        os.close(namespace)
    if found != os.stat("/proc/self/ns/net").st_ino:
        raise refuse(f, "the socket is in another network namespace", "dump from the namespace of the program")


def interface(index: int) -> Interface:
    """The interface with that index, without a name if it is gone."""
    from socket import if_nameindex  # by rtnetlink: /sys may show another namespace

    return Interface(index, dict(if_nameindex()).get(index, "") if index > 0 else "")


def check(file: File, wanted: Interface) -> None:
    """:raises Blocker: at restore, the interface is gone, or another one has its index."""
    if wanted.number > 0 and interface(wanted.number) != wanted:
        why = f"there is no network interface {wanted.name} with index {wanted.number}"
        raise hinder(file, wanted.name, why, "make it again, with the same index (ip link add index)", "interface")
