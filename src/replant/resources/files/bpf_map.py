"""bpf(2): maps of the sorts hash and array, with attributes, name, contents, and whether they are frozen.

Refused are other sorts, maps with type information (BTF), of one NUMA node, that are mapped, that are held through
several descriptions, and those that the kernel's programs use or others hold: what they share would be two maps.
"""

from __future__ import annotations

import os
import struct
from errno import ENOENT

from replant.abi import bpf, fcntl, libc, x86_64
from replant.abi.call import Packed
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import bpf_info
from replant.resources.shared.opening import as_zero, zero_again
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_SORTS = (bpf.MAP_TYPE_HASH, bpf.MAP_TYPE_ARRAY)
_NUMA_NODE = 1 << 2
_LARGEST = 1 << 28
_BATCH = struct.Struct(bpf.ATTR_UPDATE_BATCH)
_KEYS, _VALUES, _COUNT, _FD = 16, 24, 32, 36  # offsets in ATTR_UPDATE_BATCH


class State(Frozen):
    """``id`` joins descriptions; ``keys`` and ``values`` are ``pairs`` of each, one behind the other."""

    id: int
    type: int
    key_size: int
    value_size: int
    entries: int
    map_flags: int
    name: bytes
    frozen: bool
    pairs: int
    keys: Extent
    values: Extent


def claims(f: FileFacts) -> bool:
    """The kernel names it so."""
    return f.link == "anon_inode:bpf-map"


def read(f: FileFacts, dump: DumpSide) -> State:
    """Attributes and contents. :raises Blocker: it is of a sort, or used in a way, that cannot be kept."""
    if f.fd < 0:
        raise refuse(f, "a BPF map is mapped", "have the program unmap it before the dump", "kind-bpf_map")
    info = bpf_info.of_map(f.grab())
    why = _unsupported(info, f.flags) or bpf_info.used(info.id, dump.pids())
    if why:
        raise refuse(f, why, "close it before the dump", "kind-bpf_map")
    count, keys, values = _contents(f.grab(), info)
    frozen = f.info.get("frozen", "0") == "1"
    return State(
        info.id, info.type, info.key_size, info.value_size, info.entries, info.flags, info.name, frozen,
        count, dump.keep(keys), dump.keep(values),
    )  # fmt: skip


def _unsupported(info: bpf_info.Info, flags: int) -> str:
    if info.type not in _SORTS:
        return f"it is a BPF map of sort {info.type}, neither hash nor array"
    if info.btf or info.extra:
        return "it is a BPF map with type information"
    if info.flags & _NUMA_NODE:
        return "it is a BPF map of one NUMA node"
    if flags & fcntl.O_ACCMODE != fcntl.O_RDWR:
        return "it is a BPF map that may only be read, or only be written"
    if info.entries * (info.key_size + info.value_size) > _LARGEST:
        return "it is a BPF map larger than 256 MiB"
    return ""


def _contents(fd: int, info: bpf_info.Info) -> tuple[int, bytes, bytes]:
    """All pairs in one call: there is room for as many as fit, so ENOENT, the end, is the only answer."""
    keys, values = bytearray(info.key_size * info.entries), bytearray(info.value_size * info.entries)
    position = bytearray(max(info.key_size, 8))
    places = [libc.address(room) for room in (position, keys, values)]
    attr = bytearray(_BATCH.pack(0, *places, info.entries, fd, 0, 0))
    answer = libc.syscall_raw(x86_64.bpf, bpf.MAP_LOOKUP_BATCH, attr, len(attr))
    if answer < 0 and answer != -ENOENT:
        raise OSError(-answer, os.strerror(-answer))
    count = int.from_bytes(attr[_COUNT:_FD], "little")
    return count, bytes(keys[: count * info.key_size]), bytes(values[: count * info.value_size])


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def group(file: File) -> object:
    """Descriptions of one map belong together."""
    return _state(file).id


def complete(files: Sequence[File]) -> None:
    """:raises Blocker: there are several of one map, and nothing opens one twice without its number."""
    if len(files) > 1:
        why = "it is a BPF map that was opened several times"
        hint = "close all but one before the dump"
        raise hinder(files[0], f"BPF map {_state(files[0]).id}", why, hint, "kind-bpf_map")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, fill, freeze."""
    s = _state(files[0])
    what = (s.type, s.key_size, s.value_size, s.entries, s.map_flags, 0, 0, s.name)
    attr = struct.pack(bpf.ATTR_MAP_CREATE, *what)
    made = on.call(x86_64.bpf, bpf.MAP_CREATE, attr, len(attr), why="BPF map")
    kept = as_zero(on, made)
    if s.pairs:
        batch = _BATCH.pack(0, 0, 0, 0, s.pairs, 0, 0, 0)
        inside = {_KEYS: restore.load(s.keys), _VALUES: restore.load(s.values)}
        on.call(x86_64.bpf, bpf.MAP_UPDATE_BATCH, Packed(batch, inside), len(batch), why="its contents")
    if s.frozen:
        on.call(x86_64.bpf, bpf.MAP_FREEZE, bytes(4), 4, why="frozen")
    zero_again(on, kept)
    return [made]


def same(before: State, after: State, elapsed: int) -> list[str]:
    """Everything but its number in the kernel, and contents, whose order in a hash is by chance."""
    names = [n for n in State._fields if n not in ("id", "keys", "values")]
    pairs = [(n, getattr(before, n), getattr(after, n)) for n in names]
    return [f"{n}: {old!r} -> {new!r}" for n, old, new in pairs if old != new]
