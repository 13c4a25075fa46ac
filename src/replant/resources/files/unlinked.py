"""Regular files without any name left: contents, mode, owner, times and extended attributes go into the image.

If the last name is free again the file is created under it and loses it at once, so that links of procfs still show
that name. Otherwise (the name is taken, or its directory gone) it is created nameless (O_TMPFILE) in the next directory
above.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISREG

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, contents, huge, locks, opening
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = True
_DELETED = " (deleted)"


class State(Frozen):
    """``path`` is the last name, or what the kernel shows for a file that never had one. Times are in nanoseconds."""

    path: str
    dev: int
    ino: int
    size: int
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]
    extents: tuple[Extent, ...]
    locks: tuple[locks.Lock, ...] = ()


def claims(f: FileFacts) -> bool:
    """A regular file of a filesystem with names, and no link left."""
    return S_ISREG(f.mode) and f.nlink == 0 and f.link.startswith("/") and f.link.endswith(_DELETED)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Everything about the inode. :raises Blocker: it is larger than the user allows, or a lock is held."""
    limit = dump.policy("unlinked-limit")
    if limit and f.size > int(limit):
        why = f"it is deleted, and its {f.size} bytes are more than the limit of {limit}"
        raise refuse(f, why, "raise --unlinked-limit", "unlinked-limit")
    held = locks.read(f, dump)
    fd = f.grab()
    st = os.fstat(fd)
    if huge.page_size(fd):
        raise refuse(f, "it is a deleted file of a mounted hugetlbfs", "use MAP_HUGETLB or memfd_create", "hugetlb")
    kept = contents.keep(f, dump)
    xattrs = tuple([(name, os.getxattr(fd, name)) for name in sorted(os.listxattr(fd))])
    return State(
        f.link.removesuffix(_DELETED), f.dev, f.ino, st.st_size, st.st_mode,
        st.st_uid, st.st_gid, st.st_atime_ns, st.st_mtime_ns, xattrs, kept, held,
    )  # fmt: skip


def group(file: File) -> object:
    """Descriptions and mappings of one inode are made together."""
    return (_state(file).dev, _state(file).ino)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def check(file: File) -> None:
    """:raises Blocker: there is no directory left on the filesystem that the file was on."""
    state = _state(file)
    if os.stat(_directory(state)).st_dev != state.dev:
        why = "it was deleted, and no directory above its last name is on the filesystem that it was on"
        raise hinder(file, state.path, why, "mount that filesystem, or make the directory again")


def _directory(state: State) -> str:
    """The directory of the last name, or the nearest one above it that exists."""
    path = os.path.dirname(state.path)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create without a name, fill, and open again for every further description."""
    state = _state(files[0])
    flags = next((opening.lasting(f.flags) for f in files if f.flags & fcntl.O_TMPFILE_BIT), 0) or _flags(state, files)
    made = _create(state, flags, on)
    contents.fill(on, made, state.size, state.extents, restore)
    on.call(x86_64.fchown, made, state.uid, state.gid, why="owner")
    on.call(x86_64.fchmod, made, S_IMODE(state.mode), why="mode, after the owner who loses set-user-ID")
    for name, value in state.xattrs:
        on.call(x86_64.fsetxattr, made, fcntl.cstring(name), value, len(value), 0, why="extended attribute")
    on.call(x86_64.utimensat, made, 0, fcntl.pack_times(state.atime_ns, state.mtime_ns), 0, why="times")
    return opening.spread(on, made, flags, files)


def _flags(state: State, files: Sequence[File]) -> int:
    """Without a name from the beginning, unless the last one is free: then those of a description that can write."""
    in_place = os.path.isdir(os.path.dirname(state.path)) and not os.path.lexists(state.path)
    if not in_place:
        return fcntl.O_RDWR | fcntl.O_TMPFILE
    wanted = [opening.lasting(f.flags) for f in files]
    return next((flags for flags in wanted if flags & fcntl.O_ACCMODE == fcntl.O_RDWR), fcntl.O_RDWR)


def _create(state: State, flags: int, on: Track) -> Slot:
    if flags & fcntl.O_TMPFILE_BIT:
        directory = fcntl.cstring(_directory(state))
        return on.call(x86_64.openat, fcntl.AT_FDCWD, directory, flags, 0o600, why="nameless file")
    path = fcntl.cstring(state.path)
    flags |= fcntl.O_CREAT | fcntl.O_EXCL
    made = on.call(x86_64.openat, fcntl.AT_FDCWD, path, flags, 0o600, why="deleted file")
    on.call(x86_64.unlinkat, fcntl.AT_FDCWD, path, 0, why="deleted as before")
    return made


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the locks of the description again."""
    locks.take(_state(file).locks, fd, on)


def settle(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the record locks of the process again, when nothing closes a descriptor of the file any more."""
    locks.take_of_process(_state(file).locks, fd, on)


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Kept attributes; contents and times are the program's own once it runs, the name is only a memory."""
    ignored = ["path", "dev", "ino", "extents", *(["size", "atime_ns", "mtime_ns"] if elapsed else [])]
    yield from compare.fields(before, after, ignored)
    if elapsed == 0 and contents.layout(before.extents) != contents.layout(after.extents):
        yield f"data at {contents.layout(before.extents)} -> {contents.layout(after.extents)}"
