"""Features that only show on a traced task: one of ours is born for it, and ends with the probe."""

from __future__ import annotations

import ctypes
import os
import signal
import struct

from replant.abi import x86_64 as nr
from replant.abi.libc import syscall_raw
from replant.host.feature import NOT_ALLOWED, Feature, word

# linux/ptrace.h, linux/elf.h
PTRACE_GETREGSET = 0x4204
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_GET_RSEQ_CONFIGURATION = 0x420F
PTRACE_O_EXITKILL = 1 << 20
NT_X86_XSTATE = 0x202
_WALL = 0x40000000


def look() -> tuple[list[Feature], int]:
    """What tracing can do here, and the components of the extended state (XCR0) of this CPU."""
    pid = _sleeper()
    try:
        return _look(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _sleeper() -> int:
    pid = os.fork()
    if pid == 0:
        try:
            signal.pause()
        finally:
            os._exit(0)
    return pid


def _look(pid: int) -> tuple[list[Feature], int]:
    got = syscall_raw(nr.ptrace, PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL)
    seize = Feature("ptrace-seize", got >= 0, word(got), "stopping tasks without their noticing", NOT_ALLOWED)
    if got < 0:
        return [seize], 0
    syscall_raw(nr.ptrace, PTRACE_INTERRUPT, pid, 0, 0)
    os.waitpid(pid, _WALL)
    got = _rseq(pid)
    fix = "a kernel built with CONFIG_RSEQ=y and CONFIG_CHECKPOINT_RESTORE=y"
    rseq = Feature("ptrace-rseq", got >= 0, word(got), "keeping restartable sequences registered", fix)
    size, mask = _xstate(pid)
    detail = f"{size} bytes, components {mask:#x}"
    xstate = Feature("xstate", size > 0, detail, "vector and other extended registers", "a CPU with XSAVE")
    return [seize, rseq, xstate], mask


def _rseq(pid: int) -> int:
    room = ctypes.create_string_buffer(24)  # struct ptrace_rseq_configuration
    return syscall_raw(nr.ptrace, PTRACE_GET_RSEQ_CONFIGURATION, pid, len(room), room)


def _xstate(pid: int) -> tuple[int, int]:
    """Size in bytes and component mask (XCR0) of the extended state, (0, 0) where there is none.

    The kernel puts XCR0 into the bytes of the FXSAVE area that are left to software (asm/user.h).
    """
    room = ctypes.create_string_buffer(1 << 14)
    iov = ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(room), len(room)), 16)
    if syscall_raw(nr.ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, iov) < 0:
        return 0, 0
    (size,) = struct.unpack_from("<Q", iov.raw, 8)
    (mask,) = struct.unpack_from("<Q", room.raw, 464)
    return size, mask
