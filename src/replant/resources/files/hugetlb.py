"""Anonymous memory of huge pages, mmap(2) of MAP_HUGETLB: a nameless inode of the kernel's own hugetlbfs.

Each such mapping has one, shared or private, which a forked child maps as well. As with other shared anonymous memory
the restorer makes it by mapping it for a moment, without reserving pages, and opens it through the mapping's link of
procfs. What is private is among the pages of the process. A file of a mounted hugetlbfs is kept like any other file.
"""

from __future__ import annotations

from stat import S_ISREG

from replant.abi import fcntl, mman, x86_64
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, holders, huge, locks
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
    """``ino`` joins descriptions and mappings of one inode; ``page`` is the size of its pages."""

    dev: int
    ino: int
    size: int
    page: int
    extents: tuple[Extent, ...]


def claims(f: FileFacts) -> bool:
    """The kernel names it so in every namespace."""
    return S_ISREG(f.mode) and f.link == "/anon_hugepage (deleted)" and huge.page_size(f.grab()) > 0


def read(f: FileFacts, dump: DumpSide) -> State:
    """Size and contents. :raises Blocker: a lock is held, or others share it."""
    locks.none(f)
    holders.none(f, dump)
    page = huge.page_size(f.grab())
    return State(f.dev, f.ino, f.size, page, huge.keep(f.grab(), f.size, page, dump))


def group(file: File) -> object:
    """Descriptions and mappings of one inode are made together."""
    return (_state(file).dev, _state(file).ino)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def check(file: File) -> None:
    """:raises Blocker: this host has no huge pages of that size."""
    huge.check(_state(file).page, "a mapping")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Map, open as often as needed, unmap; then fill."""
    state = _state(files[0])
    how = mman.MAP_SHARED | mman.MAP_ANONYMOUS | mman.MAP_NORESERVE | mman.MAP_FIXED_NOREPLACE
    how |= mman.MAP_HUGETLB | huge.bits(state.page)
    on.call(x86_64.mmap, _PLACE, state.size, mman.PROT_READ, how, -1, 0, why="anonymous huge pages")
    path = f"/proc/self/map_files/{_PLACE:x}-{_PLACE + state.size:x}"
    filled = open_path(on, path, fcntl.O_RDWR, "the memory as a file")
    opened = [open_path(on, path, file.flags & ~fcntl.O_NOFOLLOW, "anonymous huge pages") for file in files]
    on.call(x86_64.munmap, _PLACE, state.size)
    huge.fill_file(on, filled, state.size, state.extents, restore)
    on.call(x86_64.close, filled)
    return opened


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Everything but the inode number and the place of the contents in the page store."""
    return compare.fields(before, after, ("dev", "ino", "extents"))
