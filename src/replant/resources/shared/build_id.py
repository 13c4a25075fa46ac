"""The build ID of an ELF file (elf(5), NT_GNU_BUILD_ID): the same for the same program, whenever it was installed."""

from __future__ import annotations

import os

from replant.abi import elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NT_GNU_BUILD_ID = 3
_PART = 4096


def build_id(path: str) -> bytes:
    """The build ID of the file at ``path``; empty if it has none, or cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return _of(os.pread(fd, _PART, 0), lambda offset, length: os.pread(fd, length, offset))
    finally:
        os.close(fd)


def of_bytes(image: bytes) -> bytes:
    """The build ID of a whole ELF file; empty if it has none."""
    return _of(image, lambda offset, length: b"")


def _of(head: bytes, more: Callable[[int, int], bytes]) -> bytes:
    if len(head) < elf.EHDR.size or not head.startswith(elf.IDENT[:6]):
        return b""
    ehdr = elf.EHDR.unpack_from(head)
    at, size, count = ehdr[5], ehdr[9], ehdr[10]
    if size != elf.PHDR.size or at + size * count > len(head):
        return b""
    for n in range(count):
        kind, _, offset, _, _, length, _, _ = elf.PHDR.unpack_from(head, at + n * size)
        if kind == elf.PT_NOTE and length <= _PART:
            inside = offset + length <= len(head)
            found = _in_notes(head[offset : offset + length] if inside else more(offset, length))
            if found:
                return found
    return b""


def _in_notes(notes: bytes) -> bytes:
    at = 0
    while at + elf.NHDR.size <= len(notes):
        name_size, size, kind = elf.NHDR.unpack_from(notes, at)
        name = at + elf.NHDR.size
        data = name + (name_size + 3 & -4)
        if kind == _NT_GNU_BUILD_ID and notes[name : name + name_size] == b"GNU\0":
            return notes[data : data + size]
        at = data + (size + 3 & -4)
    return b""
