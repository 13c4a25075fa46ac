"""Raw system calls through the C library's ``syscall(2)``: no wrapper, no cache, errno at once.

A call costs about half a microsecond.
"""

from __future__ import annotations

import ctypes
import os

from replant.abi import machine

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC.syscall.argtypes = (ctypes.c_long,) + (ctypes.c_void_p,) * 6
_SYSCALL = _LIBC.syscall if machine.fits() else machine.refuse

Arg = int | bytes | bytearray | ctypes.Array[ctypes.c_char] | None


def address(buffer: bytearray | memoryview) -> int:
    """The address of a writable buffer's first byte; the buffer must outlive every use of it."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def syscall_raw(nr: int, *args: Arg) -> int:
    """``syscall(2)`` that answers like the kernel: the result, or minus the error number."""
    padded = args + (0,) * (6 - len(args))
    result: int = _SYSCALL(nr, *[_pointer(a) for a in padded])
    return result if result != -1 else -ctypes.get_errno()


def syscall(nr: int, *args: Arg) -> int:
    """``syscall(2)``; integers, ``bytes`` (read by the kernel), ctypes buffers and bytearrays are accepted.

    :raises OSError: with the kernel's error number.
    """
    padded = args + (0,) * (6 - len(args))
    result: int = _SYSCALL(nr, *[_pointer(a) for a in padded])
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _pointer(arg: Arg) -> object:
    if isinstance(arg, int):
        return arg & 0xFFFFFFFFFFFFFFFF
    if isinstance(arg, bytearray):
        return address(arg)
    if isinstance(arg, ctypes.Array):
        return ctypes.addressof(arg)
    return arg
