"""Packet filters of sockets (classic BPF, socket(7) SO_ATTACH_FILTER): read, and attached again."""

from __future__ import annotations

import struct

from replant.abi import libc, socket, x86_64
from replant.abi.call import Packed
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track
    from replant.resources.protocol import FileFacts, RestoreSide

_INSTRUCTION = 8  # bytes of a struct sock_filter
_FPROG = struct.Struct("=H6xQ")  # struct sock_fprog: how many, and where


class Filter(Frozen):
    """``code`` is an array of ``struct sock_filter``, empty if there is none; ``locked``: SO_LOCK_FILTER."""

    code: bytes = b""
    locked: bool = False


def read(f: FileFacts) -> Filter:
    """:raises Blocker: the filter is a program of the kernel's own BPF (SO_ATTACH_BPF), which cannot be read."""
    fd = f.grab()
    count = bytearray(4)
    answer = libc.syscall_raw(x86_64.getsockopt, fd, socket.SOL_SOCKET, socket.SO_GET_FILTER, None, count)
    if answer < 0:
        raise refuse(f, "a packet filter that cannot be read is attached to it", "attach a classic one", "filter")
    locked = bool(socket.number(fd, socket.SOL_SOCKET, socket.SO_LOCK_FILTER))
    number = int.from_bytes(count, "little")
    code = bytearray(number * _INSTRUCTION)
    if number:
        libc.syscall(x86_64.getsockopt, fd, socket.SOL_SOCKET, socket.SO_GET_FILTER, code, count)
    return Filter(bytes(code), locked)


def put(on: Track, fd: Slot | int, kept: Filter, restore: RestoreSide | None = None) -> None:
    """Calls of the restorer that attach it again; of a process of the tree with ``restore``, where it sees the code."""
    if kept.code:
        count = len(kept.code) // _INSTRUCTION
        program: bytes | Packed = Packed(_FPROG.pack(count, 0), {8: kept.code})
        if restore is not None:
            program = _FPROG.pack(count, restore.place(kept.code))
        on.call(x86_64.setsockopt, fd, socket.SOL_SOCKET, socket.SO_ATTACH_FILTER, program, 16, why="packet filter")
    if kept.locked:
        one = (1).to_bytes(4, "little")
        on.call(x86_64.setsockopt, fd, socket.SOL_SOCKET, socket.SO_LOCK_FILTER, one, 4, why="nobody may change it")
