"""Attachments of System V shared memory, shmat(2).

Only shmat attaches: a mapping made in any other way is not counted, and shmdt(2) does not know it. It always attaches
the whole segment. So each attachment is made aside, its parts are moved to where they were (mremap(2) keeps what they
are), and what the program had unmapped is unmapped again. What lies at equal distance in one segment is taken for one
attachment, which shmdt detaches at once.
"""

from __future__ import annotations

from replant.abi import fcntl, ipc, mman, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from replant.abi.call import Slot, Track
    from replant.model.tree import Vma
    from replant.resources.protocol import RestoreSide

    Row = tuple[Vma, Slot | int, int]

VERSION = 1


def make(vma: Vma, fd: Slot | int, prot: int, on: Track, restore: RestoreSide) -> None:
    """One attachment that is whole. ``fd`` is the number of the segment."""
    make_all([(vma, fd, prot)], on, restore)


def make_all(rows: Sequence[Row], on: Track, restore: RestoreSide) -> None:
    """All attachments of a process."""
    together: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        together.setdefault((row[0].file, row[0].start - row[0].offset), []).append(row)
    for parts in together.values():
        _attach(parts, on, restore)


def _attach(parts: Sequence[Row], on: Track, restore: RestoreSide) -> None:
    first, segment, _ = parts[0]
    file = restore.file(first.file)
    state: Any = file.state  # of files.sysv_shm, which kinds of mappings do not know
    size, page = state.size, state.page
    length = -(-size // page) * page
    read_only = file.flags & fcntl.O_ACCMODE == fcntl.O_RDONLY
    how, prot = (ipc.SHM_RDONLY, mman.PROT_READ) if read_only else (0, mman.PROT_READ | mman.PROT_WRITE)
    if any(vma.prot & mman.PROT_EXEC for vma, _, _ in parts):
        how, prot = how | ipc.SHM_EXEC, prot | mman.PROT_EXEC
    aside = restore.room(length)
    on.call(x86_64.shmat, segment, aside, how, why="shared memory attached")
    for vma, _, _ in parts:
        part = vma.end - vma.start
        to = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED
        on.call(x86_64.mremap, aside + vma.offset, part, part, to, vma.start, why="to where it was")
        if vma.prot != prot:
            on.call(x86_64.mprotect, vma.start, part, vma.prot, why="protection")
    on.call(x86_64.munmap, aside, length, why="what was unmapped")
