"""What bpf(2) tells of a map, and who else uses it."""

from __future__ import annotations

import os
import struct

from replant.abi import bpf, libc, x86_64
from replant.abi.libc import syscall, syscall_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_MAP_INFO, _PROG_INFO = 88, 232
_NR_MAP_IDS, _MAP_IDS = 52, 56  # offsets in struct bpf_prog_info
_MANY = 64  # maps that a program may use (MAX_USED_MAPS)


class Info:
    """``struct bpf_map_info``, as far as it is needed; ``btf`` says whether there is type information."""

    def __init__(self, packed: bytes | bytearray) -> None:
        numbers = struct.unpack_from("=6I", packed)
        self.type, self.id, self.key_size, self.value_size, self.entries, self.flags = numbers
        self.name = bytes(packed[24:40])
        self.btf = bool(int.from_bytes(packed[44:48], "little") or int.from_bytes(packed[64:68], "little"))
        self.extra = int.from_bytes(packed[80:88], "little")


def of_map(fd: int) -> Info:
    """The attributes of a map."""
    packed = bytearray(_MAP_INFO)
    _info(fd, packed)
    return Info(packed)


def _info(fd: int, packed: bytearray) -> None:
    attr = bytearray(struct.pack("=IIQ", fd, len(packed), libc.address(packed)))
    syscall(x86_64.bpf, bpf.OBJ_GET_INFO_BY_FD, attr, len(attr))


def used(number: int, tree: Container[int]) -> str:
    """Who else has the map, in words; "": nobody."""
    for program in _programs():
        if number in _maps_of(program):
            return f"it is a BPF map that program {program} of the kernel uses"
    for pid in [int(name) for name in os.listdir("/proc") if name.isdecimal()]:
        if pid not in tree and pid != os.getpid() and number in _held(pid):
            return f"it is a BPF map that process {pid} outside of the tree has, too"
    return ""


def _programs() -> Iterator[int]:
    attr = bytearray(12)  # start_id, next_id, open_flags
    while syscall_raw(x86_64.bpf, bpf.PROG_GET_NEXT_ID, attr, len(attr)) == 0:
        yield int.from_bytes(attr[4:8], "little")
        attr[:4] = attr[4:8]


def _maps_of(program: int) -> tuple[int, ...]:
    fd = syscall_raw(x86_64.bpf, bpf.PROG_GET_FD_BY_ID, program.to_bytes(4, "little") + bytes(8), 12)
    if fd < 0:  # it has gone meanwhile
        return ()
    try:
        room, packed = bytearray(4 * _MANY), bytearray(_PROG_INFO)
        packed[_NR_MAP_IDS:_MAP_IDS] = _MANY.to_bytes(4, "little")
        packed[_MAP_IDS : _MAP_IDS + 8] = libc.address(room).to_bytes(8, "little")
        _info(fd, packed)
    finally:
        os.close(fd)
    count = min(int.from_bytes(packed[_NR_MAP_IDS:_MAP_IDS], "little"), _MANY)
    return struct.unpack_from(f"={count}I", room)


def _held(pid: int) -> set[int]:
    """The numbers of the maps that a process has open."""
    found, folder = set(), f"/proc/{pid}"
    try:
        for name in os.listdir(f"{folder}/fd"):
            if os.readlink(f"{folder}/fd/{name}") == "anon_inode:bpf-map":
                with open(f"{folder}/fdinfo/{name}", encoding="ascii") as file:
                    found |= {int(line.split()[1]) for line in file if line.startswith("map_id:")}
    except OSError:  # it has ended, or closed one
        pass
    return found
