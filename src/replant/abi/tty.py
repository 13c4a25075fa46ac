"""ioctls of terminals: ``asm-generic/ioctls.h``, ``asm-generic/termbits.h``; see ioctl_tty(2)."""

from __future__ import annotations

import struct

TCGETS = 0x5401
TCSETS = 0x5402
TCXONC = 0x540A
TIOCEXCL = 0x540C
TIOCSCTTY = 0x540E
TIOCSPGRP = 0x5410
TIOCSTI = 0x5412
TIOCGWINSZ = 0x5413
TIOCSWINSZ = 0x5414
TIOCPKT = 0x5420
TIOCNOTTY = 0x5422
TIOCGETD = 0x5424
TCGETS2 = 0x802C542A
TCSETS2 = 0x402C542B
TIOCGPTN = 0x80045430
TIOCSPTLCK = 0x40045431
TIOCGDEV = 0x80045432
TIOCVHANGUP = 0x5437
TIOCGPKT = 0x80045438
TIOCGPTLCK = 0x80045439
TIOCGEXCL = 0x80045440
TIOCGPTPEER = 0x5441

TERMIOS_SIZE = 36  # struct termios of the kernel
TERMIOS2_SIZE = 44
WINSIZE_SIZE = 8
N_TTY = 0
TCOOFF = 0

CONTROLLING = (5, 0)  # /dev/tty
CONSOLE = (5, 1)
PTMX = (5, 2)
UNIX98_SLAVE_MAJORS = range(136, 144)

IXON = 0o2000
ICANON = 0o2
IEXTEN = 0o100000
EXTPROC = 0o200000

_TERMIOS2 = struct.Struct("<4IB19s2I")
_VEOF, _VSTOP, _VEOL, _VLNEXT, _VEOL2 = 4, 9, 11, 15, 16
STOP, EOF, LITERAL = 0x13, 0x04, 0x16


def is_canonical(settings: bytes) -> bool:
    """Whether the reader of a terminal with this struct termios2 gets whole lines."""
    lflag: int = _TERMIOS2.unpack(settings)[3]
    return lflag & (ICANON | EXTPROC) == ICANON


def stops_by_key(settings: bytes) -> bytes:
    """The same struct termios2, in which `STOP` stops the output."""
    iflag, oflag, cflag, lflag, line, cc, ispeed, ospeed = _TERMIOS2.unpack(settings)
    keys = bytearray(cc)
    keys[_VSTOP] = STOP
    return _TERMIOS2.pack(iflag | IXON, oflag, cflag, lflag, line, bytes(keys), ispeed, ospeed)


def literal(settings: bytes, ends: tuple[int, int] = (0, 0)) -> bytes:
    r"""A struct termios2 under which input passes unchanged and without echo, and output as well.

    Lines are lines as far as they are in ``settings``, since a change of that would move their ends: they end at
    ``\n``, at `EOF` and at the two characters of ``ends`` (0: none), and `LITERAL` takes the meaning from the next one.
    """
    _, _, cflag, lflag, line, _, ispeed, ospeed = _TERMIOS2.unpack(settings)
    keys = bytearray(19)
    if lflag & ICANON:
        keys[_VEOF], keys[_VLNEXT], keys[_VEOL], keys[_VEOL2] = EOF, LITERAL, *ends
    return _TERMIOS2.pack(0, 0, cflag, lflag & (ICANON | EXTPROC) | IEXTEN, line, bytes(keys), ispeed, ospeed)
