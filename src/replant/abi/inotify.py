"""inotify(7) and file handles: ``linux/inotify.h``, ``linux/fcntl.h``."""

from __future__ import annotations

import struct

IN_DONT_FOLLOW = 0x02000000
INOTIFY_IOC_SETNEXTWD = 0x40044900  # _IOW('I', 0, __s32)


def pack_handle(kind: int, handle: bytes) -> bytes:
    """``struct file_handle`` of open_by_handle_at(2)."""
    return struct.pack("=Ii", len(handle), kind) + handle
