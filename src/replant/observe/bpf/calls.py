"""The commands of bpf(2) that observing needs; every function raises ``OSError`` with the kernel's number.

What a command creates is a file descriptor, and :class:`Handle` closes it when the last user is gone: the kernel
keeps nothing of ours after that.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from struct import Struct, pack

from ...abi import bpf, x86_64
from ...abi.libc import syscall

LICENSE = b"GPL\0"  # the helpers that read kernel memory ask for it of the loaded program
_NAME = b"replant"
_PROG_LOAD = Struct(bpf.ATTR_PROG_LOAD)
_TRIES = 5


class Handle:
    """A descriptor of a map, program or link."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def address(data: bytes) -> int:
    """Where the bytes are; whoever passes this on keeps ``data`` alive."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def command(number: int, attr: bytes) -> int:
    """bpf(2) with a ready ``union bpf_attr``, which the kernel may write to."""
    return syscall(x86_64.bpf, number, attr, len(attr))


def map_create(kind: int, key_size: int, value_size: int, entries: int, flags: int = 0) -> Handle:
    """A map."""
    attr = pack(bpf.ATTR_MAP_CREATE, kind, key_size, value_size, entries, flags, 0, 0, _NAME)
    return Handle(command(bpf.MAP_CREATE, attr))


class Memory:
    """Memory that programs write and Python reads: the one value of an array map, mapped here as ``view``."""

    def __init__(self, size: int) -> None:
        self.handle = map_create(bpf.MAP_TYPE_ARRAY, 4, size, 1, bpf.F_MMAPABLE)
        self.size = size
        self.view = mmap.mmap(self.handle.fd, size)


def map_fill(handle: Handle, keys: bytes, values: bytes, count: int) -> None:
    """Puts ``count`` pairs into a map with one call."""
    attr = pack(bpf.ATTR_UPDATE_BATCH, 0, 0, address(keys), address(values), count, handle.fd, 0, 0)
    command(bpf.MAP_UPDATE_BATCH, attr)


def btf_load(data: bytes) -> Handle:
    """Type information of a program of ours."""
    return Handle(command(bpf.BTF_LOAD, pack(bpf.ATTR_BTF_LOAD, address(data), 0, len(data), 0, 0, 0)))


def prog_load(
    code: bytes,
    kind: int,
    *,
    flags: int = 0,
    attach: int = 0,
    attach_btf_id: int = 0,
    btf: Handle | None = None,
    relocations: bytes = b"",
    functions: bytes = b"",
    log: ctypes.Array[ctypes.c_char] | None = None,
) -> Handle:
    """Verifies and loads a program. ``log`` receives what the verifier says, for when it refuses."""
    attr = _PROG_LOAD.pack(
        *(kind, len(code) // 8, address(code), address(LICENSE)),
        *((1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)),
        *(0, flags, _NAME, 0, attach, btf.fd if btf else 0),
        *(bpf.FUNC_INFO_SIZE, address(functions), len(functions) // bpf.FUNC_INFO_SIZE, 0, 0, 0),
        *(attach_btf_id, 0, len(relocations) // bpf.CORE_RELO_SIZE, 0, address(relocations), bpf.CORE_RELO_SIZE, 0),
    )
    for _ in range(_TRIES):
        try:
            return Handle(command(bpf.PROG_LOAD, attr))
        except BlockingIOError:  # the verifier gives up when the kernel has work for this task, a signal or io_uring's
            continue
    return Handle(command(bpf.PROG_LOAD, attr))


def prog_run(program: Handle, context: bytes = b"") -> int:
    """Runs a SYSCALL program once and gives its return value."""
    where = address(context) if context else 0
    attr = pack(bpf.ATTR_PROG_RUN, program.fd, 0, 0, 0, 0, 0, 0, 0, len(context), 0, where, 0, 0, 0, 0, 0)
    command(bpf.PROG_RUN, attr)
    return int.from_bytes(attr[4:8], "little", signed=True)


def link_iterator(program: Handle, tid: int = 0, pid: int = 0) -> Handle:
    """An iterator over all tasks of the caller's pid namespace, one thread, or the threads of one process."""
    info = pack(bpf.ITER_LINK_INFO_TASK, tid, pid, 0, 0)
    attr = pack(bpf.ATTR_LINK_CREATE, program.fd, 0, bpf.TRACE_ITER, 0, address(info), len(info), 0)
    return Handle(command(bpf.LINK_CREATE, attr))


def link_tracepoint(program: Handle, name: str) -> Handle:
    """Runs a RAW_TRACEPOINT program whenever the kernel passes a tracepoint, until the handle is gone."""
    text = name.encode() + b"\0"
    return Handle(command(bpf.RAW_TRACEPOINT_OPEN, pack(bpf.ATTR_RAW_TRACEPOINT_OPEN, address(text), program.fd, 0)))


def run_iterator(link: Handle) -> None:
    """Walks a linked iterator to its end; its program writes to a map, so nothing is read but the end."""
    fd = command(bpf.ITER_CREATE, pack(bpf.ATTR_ITER_CREATE, link.fd, 0))
    try:
        while os.read(fd, 4096):
            pass
    finally:
        os.close(fd)
