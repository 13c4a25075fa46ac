"""Addresses of unix(7) sockets: ``linux/un.h``."""

from __future__ import annotations

SIOCUNIXFILE = 0x89E0


def sockaddr(name: bytes) -> bytes:
    """``struct sockaddr_un`` of as many bytes as the name needs; abstract names start with a NUL."""
    return b"\x01\0" + name


def is_path(name: bytes) -> bool:
    """Whether a name is a path: neither none nor abstract."""
    return bool(name) and name[0] != 0


def path(name: bytes) -> bytes:
    """The path of a name, without the NUL that the kernel may keep at its end."""
    return name.rstrip(b"\0")
