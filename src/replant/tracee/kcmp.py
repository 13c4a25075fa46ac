"""kcmp(2): whether two tasks share an object, and an order of objects that lasts while they exist.

A process with a thousand look-alike descriptors is sorted by it, so that the call is as direct as ctypes allows.
"""

from __future__ import annotations

import ctypes
import os

from replant.abi import x86_64

_raw = ctypes.CDLL(None, use_errno=True).syscall
_raw.restype = ctypes.c_long
_raw.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong)

_FILE = 0
_ORDER = (0, -1, 1)


def compare_files(pid: int, fd: int, other: int, other_fd: int) -> int:
    """0: both descriptors are one file description; else -1 or 1, an order.

    :raises OSError: one of them does not exist, or may not be looked at.
    """
    answer = _raw(x86_64.kcmp, pid, other, _FILE, fd, other_fd)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"kcmp of descriptor {fd} of {pid} and {other_fd} of {other}: {os.strerror(code)}")
    return _ORDER[answer]
