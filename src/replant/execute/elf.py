"""The smallest executables: one segment, which is the file itself (elf(5))."""

from __future__ import annotations

import struct

from replant.abi import mman

BASE = 0x400000
ENTRY = 120  # bytes of the headers, behind which the code stands


def executable(code: bytes) -> bytes:
    """A static ELF file that maps itself at `BASE`, readable and executable, and begins with the first byte."""
    size = ENTRY + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, 62, 1, BASE + ENTRY, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, mman.PAGE) + code
