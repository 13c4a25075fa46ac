"""The first process of a namespace that a restore has made: the bytes of init.S, and how a process becomes it.

Of the interpreter that made the tree nothing stays: 300 bytes take its place, which sleep until a child has ended or
somebody outside sends a signal.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the module signal costs 2 ms for its enums
import os
import struct

from replant.abi import libc, x86_64
from replant.execute.elf import executable

_CLOSE_RANGE_CLOEXEC = 4  # linux/close_range.h

CODE = bytes.fromhex(
    "b89d000000bf0f000000488d35950000000f05b86d00000031ff31f60f05b83d0000004883cfff488db42478ffffffba0100"
    "00004531d20f0585c07e2639057000000075d98bbc2478ffffff89f8c1ef0883e07f74068db880000000b8e70000000f05b8"
    "80000000488d3d2f000000488d74248031d241ba080000000f0583f811749b85c07edc837e100075d689c6b83e0000008b3d"
    "190000000f05ebc5ffffffffffffffff7265706c616e742d696e697400"
)


def queue_signals() -> None:
    """Let signals wait for the init: the kernel drops those to a first process that neither blocks nor handles them.

    To be called before anybody outside is told its number.
    """
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())


def become(root: int) -> None:
    """Replace this process, which has made process ``root``; returns only if the kernel refuses.

    The reaping of children is the init's own, whatever its maker ignored. Descriptors close as the program begins:
    whoever reads from us to the end knows by it that the init is there.
    """
    image = os.memfd_create("init", os.MFD_CLOEXEC)
    os.write(image, executable(CODE + struct.pack("<i", root)))
    os.chdir("/")
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    libc.syscall(x86_64.close_range, 0, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC)
    os.execve(f"/proc/self/fd/{image}", ["replant-init"], {})
