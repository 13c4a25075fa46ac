"""ioctls of terminals: ``asm-generic/ioctls.h``, ``asm-generic/termbits.h``."""

from __future__ import annotations

TCGETS = 0x5401
TCSETS = 0x5402
TERMIOS_SIZE = 36  # struct termios of the kernel

PTMX = (5, 2)
UNIX98_SLAVE_MAJORS = range(136, 144)
