"""A program with BPF maps: a hash, an array, one that is frozen and full."""

from __future__ import annotations

import struct

import selfcheck

from replant.abi import bpf, x86_64
from replant.abi.libc import address, syscall

LOOKUP, UPDATE, FREEZE = 1, 2, 22


class Map:
    """A map with keys of four bytes."""

    def __init__(self, kind: int, size: int, entries: int, flags: int = 0, name: bytes = b"") -> None:
        self.size = size
        attr = struct.pack(bpf.ATTR_MAP_CREATE, kind, 4, size, entries, flags, 0, 0, name)
        self.fd = syscall(x86_64.bpf, bpf.MAP_CREATE, attr, len(attr))

    def _element(self, command: int, key: int, value: bytearray) -> None:
        packed = bytearray(struct.pack("=I", key))
        attr = bytearray(struct.pack("=I4xQQQ", self.fd, address(packed), address(value), 0))
        syscall(x86_64.bpf, command, attr, len(attr))

    def __getitem__(self, key: int) -> bytes:
        value = bytearray(self.size)
        self._element(LOOKUP, key, value)
        return bytes(value)

    def __setitem__(self, key: int, value: bytes) -> None:
        self._element(UPDATE, key, bytearray(value))

    def freeze(self) -> None:
        syscall(x86_64.bpf, FREEZE, struct.pack("=I", self.fd), 4)


def value(key: int, size: int) -> bytes:
    return bytes((key * 7 + at) % 256 for at in range(size))


def fill(one: Map, keys: range) -> None:
    for key in keys:
        one[key] = value(key, one.size)


pairs = Map(bpf.MAP_TYPE_HASH, 13, 1000, name=b"pairs")
row = Map(bpf.MAP_TYPE_ARRAY, 20, 50, bpf.F_MMAPABLE, name=b"row")
ice = Map(bpf.MAP_TYPE_HASH, 8, 3, 1)  # BPF_F_NO_PREALLOC
empty = Map(bpf.MAP_TYPE_HASH, 8, 3)
fill(pairs, range(100, 900, 3))
fill(row, range(50))
fill(ice, range(3))
ice.freeze()


def check() -> None:
    for one, keys in ((pairs, range(100, 900, 3)), (row, range(50)), (ice, range(3))):
        for key in keys:
            assert one[key] == value(key, one.size), key
    with open(f"/proc/self/fdinfo/{ice.fd}") as info:
        assert "frozen:\t1\n" in info.read()
    for one, key, error in ((ice, 0, PermissionError), (row, 50, OSError)):
        try:
            one[key] = bytes(one.size)
        except error:
            continue
        raise AssertionError("what is frozen, or full, takes a value")
    try:
        pairs[0]
    except FileNotFoundError:
        empty[7] = bytes(8)
        return
    raise AssertionError("there is a key that was not there")


selfcheck.serve(check)
