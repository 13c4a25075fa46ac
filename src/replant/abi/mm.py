"""``struct prctl_mm_map`` of ``linux/prctl.h``: what PR_SET_MM_MAP sets in one go."""

from __future__ import annotations

from struct import Struct

_MAP = Struct("<12QII")

#: how many auxv bytes of PR_GET_AUXV are asked for; kernels keep 368 to 448
AUXV_ROOM = 512


def mm_map(bounds: tuple[int, ...], auxv_address: int, auxv_size: int, exe_fd: int) -> bytes:
    """The struct (104 bytes) of the 11 ``bounds`` in its order; ``exe_fd`` of -1 leaves the executable alone."""
    return _MAP.pack(*bounds, auxv_address, auxv_size, exe_fd & 0xFFFFFFFF)


def auxv_end(data: bytes) -> int:
    """Length of an auxiliary vector up to and with its AT_NULL."""
    for at in range(0, len(data) - 15, 16):
        if not any(data[at : at + 8]):
            return at + 16
    return len(data) & ~15
