"""Room for a journal: blocks at the end of its file, allocated, mapped and faulted in before anything is stored there.

A page that is written through a mapping for the first time costs a fault, in which the file system may have to find
space for it. So blocks are made of zeros by write(2), in which the file system takes many pages at once and a
full disk is an error number instead of a SIGBUS at some later store, and mapped writable by one madvise(2).
"""

from __future__ import annotations

import os
from errno import EINVAL, ENOSPC
from mmap import MAP_SHARED, mmap

from replant.journal.layout import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    Block = tuple[memoryview, int]

ATTEMPTS = 10
"""How often blocks are appended before it counts as impossible: others may append while a gap is being filled."""
_ZEROS = bytes(BLOCK)
_MADV_POPULATE_WRITE = 23
"""Linux 5.14; MAP_POPULATE maps the pages of a file read-only, and every one faults again when it is written."""


def append_blocks(fd: int, count: int) -> list[Block]:
    """Up to ``count`` blocks of zeros at the end of the file, mapped, with their numbers; at least one.

    The kernel appends atomically and tells where through the file offset, which a description opened for this
    one write shares with nobody: neither threads nor forked processes need a lock. A writer that was killed in the
    middle of appending leaves a part of a block; whoever comes next fills it up.

    :raises OSError: ENOSPC, EDQUOT, EFBIG: the file cannot grow
    """
    own = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        for _ in range(ATTEMPTS):
            written = os.writev(own, [_ZEROS] * count)
            offset = os.lseek(own, 0, os.SEEK_CUR) - written
            if written < BLOCK:
                break
            if offset % BLOCK == 0:
                return _mapped(own, offset, written // BLOCK)
            os.write(own, _ZEROS[offset % BLOCK :])
        raise OSError(ENOSPC, "no room for a block of the journal")
    finally:
        os.close(own)


def _mapped(fd: int, offset: int, count: int) -> list[Block]:
    """Blocks from ``offset`` on, which stay mapped as long as any of them is referred to."""
    pages = mmap(fd, count * BLOCK, MAP_SHARED, offset=offset)
    try:
        pages.madvise(_MADV_POPULATE_WRITE)
    except OSError as error:
        if error.errno != EINVAL:  # an older kernel: they are faulted in one by one
            raise
    view = memoryview(pages)
    return [(view[at : at + BLOCK], (offset + at) // BLOCK) for at in range(0, count * BLOCK, BLOCK)]


def new_key() -> int:
    """What the completed records of a block end with: 62 random bits, which no data can guess, and never 0."""
    return int.from_bytes(os.urandom(8), "little") >> 2 | 1
