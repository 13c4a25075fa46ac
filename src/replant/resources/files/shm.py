"""Shared anonymous memory, mmap(2) of MAP_SHARED | MAP_ANONYMOUS: a nameless inode of the kernel's own tmpfs.

It can only be made by mapping it, and opened only through the mapping's link of procfs. The restorer therefore maps it
for a moment, at an address that is the same each time and that no loader and no allocator uses.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISREG

from replant.abi import fcntl, mman, x86_64
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, contents, holders, locks
from replant.resources.shared.opening import open_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = True
_PLACE = 1 << 44


class State(Frozen):
    """``ino`` joins descriptions and mappings of one inode; mode and owner show where it is open as a file."""

    dev: int
    ino: int
    size: int
    mode: int
    uid: int
    gid: int
    extents: tuple[Extent, ...]


def claims(f: FileFacts) -> bool:
    """The kernel names it so in every namespace."""
    return S_ISREG(f.mode) and f.link == "/dev/zero (deleted)" and f.nlink == 0


def read(f: FileFacts, dump: DumpSide) -> State:
    """Attributes and contents, of which only pages ever touched exist.

    :raises Blocker: a lock is held, or others share it.
    """
    locks.none(f)
    holders.none(f, dump)
    owner = os.fstat(f.grab())
    kept = contents.keep(f, dump)
    return State(f.dev, f.ino, f.size, f.mode, owner.st_uid, owner.st_gid, kept)


def group(file: File) -> object:
    """Descriptions and mappings of one inode are made together."""
    return (_state(file).dev, _state(file).ino)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Map, open as often as needed, fill, unmap."""
    state = _state(files[0])
    length = max(-(-state.size // mman.PAGE), 1) * mman.PAGE
    how = mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_NORESERVE | mman.MAP_FIXED_NOREPLACE
    on.call(x86_64.mmap, _PLACE, length, mman.PROT_READ, how, -1, 0, why="shared anonymous memory")
    path = f"/proc/self/map_files/{_PLACE:x}-{_PLACE + length:x}"
    filled = open_path(on, path, fcntl.O_RDWR, "the memory as a file")
    contents.fill(on, filled, state.size, state.extents, restore)
    on.call(x86_64.fchown, filled, state.uid, state.gid, why="owner")
    on.call(x86_64.fchmod, filled, S_IMODE(state.mode), why="mode")
    opened = [open_path(on, path, file.flags & ~fcntl.O_NOFOLLOW, "shared anonymous memory") for file in files]
    on.call(x86_64.close, filled)
    on.call(x86_64.munmap, _PLACE, length)
    return opened


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Everything but the inode number and the place of the contents in the page store."""
    return compare.fields(before, after, ("dev", "ino", "extents"))
