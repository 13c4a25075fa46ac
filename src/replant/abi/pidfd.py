"""``linux/pidfd.h``: what a pidfd tells of its process."""

from __future__ import annotations

PIDFD_GET_INFO = 0xC040FF0B  # _IOWR(0xFF, 11, the first version of struct pidfd_info)
PIDFD_INFO_EXIT = 1 << 3
INFO_SIZE = 64
EXIT_CODE_AT = 60
