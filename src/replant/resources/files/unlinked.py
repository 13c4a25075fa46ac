"""Regular files without any name left: contents, mode, owner, times, attributes and flags go into the image.

If the last name is free again the file is created under it and loses it at once, so that links of procfs still show
that name. If the name is taken, or its directory gone, the file is created under the same path below a directory of the
restore, which is then the root of a detached mount: the kernel shows the path from there, so that a program that has
been replaced on the disk still sees its own name. Who may not mount creates it nameless (O_TMPFILE). Where the mount
has become read-only since, a copy of the mount that is not serves to create it.

A file that never had a name, and may still be given one, is made so that it may; any other can never get one again.
"""

from __future__ import annotations

import os
from errno import EINVAL, ENOTTY, EOPNOTSUPP
from stat import S_ISREG

from replant.abi import fcntl, fs, libc, x86_64
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, contents, holders, huge, locks, opening
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
_NO_FLAGS = (EINVAL, ENOTTY, EOPNOTSUPP)
_SHOWN = 3


class State(Frozen):
    """``path`` is the last name, or what the kernel shows for a file that never had one. Times are in nanoseconds.

    ``flags`` are those of chattr(1). ``linkable``: it may be given a name by linkat(2), as "yes", "no" or "unknown".
    """

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
    flags: int = 0
    linkable: str = "no"
    locks: tuple[locks.Lock, ...] = ()


def claims(f: FileFacts) -> bool:
    """A regular file of a filesystem with names, and no link left."""
    return S_ISREG(f.mode) and f.nlink == 0 and f.link.startswith("/") and f.link.endswith(_DELETED)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Everything about the inode.

    :raises Blocker: it is larger than the user allows, a lock is held, or it has what cannot be given to another file.
    """
    limit = dump.policy("unlinked-limit")
    if limit and f.size > int(limit):
        why = f"it is deleted, and its {f.size} bytes are more than the limit of {limit}"
        raise refuse(f, why, "raise --unlinked-limit", "unlinked-limit")
    if f.link.startswith("/dev/shm/"):  # memory, not a file that happens to have lost its name
        holders.none(f, dump)
    held = locks.read(f, dump)
    if any(lock.kind == "LEASE" and lock.write for lock in held):
        raise refuse(
            f, "it is deleted, and a lease keeps others from reading it", "let the program give it up", "lease"
        )
    fd = contents.reader(f.grab())
    try:
        return _read(f, fd, dump)._replace(locks=held)
    finally:
        os.close(fd)


def _read(f: FileFacts, fd: int, dump: DumpSide) -> State:
    st = os.fstat(fd)
    if huge.page_size(fd):
        raise refuse(f, "it is a deleted file of a mounted hugetlbfs", "use MAP_HUGETLB or memfd_create", "hugetlb")
    flags = _flags_of(fd)
    if flags & fs.FS_VERITY_FL:
        raise refuse(f, "it is deleted, and protected by fs-verity", "let the program close it", "verity")
    extents = tuple(dump.keep_file(fd, f.size))
    xattrs = tuple([(name, os.getxattr(fd, name)) for name in sorted(os.listxattr(fd))])
    return State(
        f.link.removesuffix(_DELETED), f.dev, f.ino, st.st_size, st.st_mode, st.st_uid, st.st_gid,
        st.st_atime_ns, st.st_mtime_ns, xattrs, extents, flags & fs.FS_CHOSEN_FL and flags, _linkable(f, dump),
    )  # fmt: skip


def _flags_of(fd: int) -> int:
    """FS_IOC_GETFLAGS; 0 on a filesystem without them."""
    room = bytearray(8)
    done = libc.syscall_raw(x86_64.ioctl, fd, fs.FS_IOC_GETFLAGS, room)
    return int.from_bytes(room[:4], "little") if done >= 0 else 0


def _linkable(f: FileFacts, dump: DumpSide) -> str:
    if not os.path.basename(f.link).startswith("#") and not f.flags & fcntl.O_TMPFILE_BIT:
        return "no"  # it had a name: d_tmpfile() of the kernel begins those of others so
    answer = dump.linkable(f)
    return "unknown" if answer is None else "yes" if answer else "no"


def tells(files: Sequence[File]) -> str:
    """How many there are, how large, and the first names."""
    states = {(s.dev, s.ino): s for s in map(_state, files)}
    data = sum(e.length for s in states.values() for e in s.extents)
    names = ", ".join([s.path for s in [*states.values()][:_SHOWN]]) + (", …" if len(states) > _SHOWN else "")
    unknown = sum(s.linkable == "unknown" for s in states.values())
    doubt = f"; {unknown} may be given a name from now on, as it cannot be known whether that was so" if unknown else ""
    what = "a deleted file goes" if len(states) == 1 else f"{len(states)} deleted files go"
    return f"{what} into the image, {data} bytes: {names}{doubt}"


def group(file: File) -> object:
    """Descriptions and mappings of one inode are made together."""
    return (_state(file).dev, _state(file).ino)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def check(file: File) -> None:
    """:raises Blocker: there is no directory left on the filesystem that the file was on."""
    state = _state(file)
    directory = _directory(state)
    if directory != os.path.dirname(state.path) and os.stat(directory).st_dev != state.dev:
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
    state, directory = _state(files[0]), _directory(_state(files[0]))
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        return _through_a_copy(files, directory, on, restore)
    flags = next((opening.lasting(f.flags) for f in files if f.flags & fcntl.O_TMPFILE_BIT), 0) or _flags(state, files)
    by_name: dict[int, Slot] = {}
    made = _create(state, flags, [f for f in files if f.flags & fcntl.O_NOFOLLOW], by_name, on)
    _fill(state, made, on, restore)
    others = iter(opening.spread(on, made, flags, [f for f in files if f.number not in by_name]))
    return [by_name.get(f.number) or next(others) for f in files]


def _fill(state: State, made: Slot, on: Track, restore: RestoreSide) -> None:
    contents.fill(on, made, state.size, state.extents, restore)
    times = (state.atime_ns, state.mtime_ns)
    contents.dress(on, made, state.mode, (state.uid, state.gid), times, state.xattrs)


def _flags(state: State, files: Sequence[File]) -> int:
    """Without a name from the beginning, unless the last one is free: then those of a description that can write."""
    if state.linkable != "no" or not (opening.is_free(state.path) or _may_mount()):
        return fcntl.O_RDWR | fcntl.O_TMPFILE
    wanted = [opening.lasting(f.flags) for f in files if not f.flags & (fcntl.O_PATH | fcntl.O_NOFOLLOW)]
    return next((flags for flags in wanted if flags & fcntl.O_ACCMODE == fcntl.O_RDWR), fcntl.O_RDWR)


def _create(state: State, flags: int, named: Sequence[File], by_name: dict[int, Slot], on: Track) -> Slot:
    """The file, and descriptions ``named`` that only a name can give (O_NOFOLLOW), while it has one."""
    if flags & fcntl.O_TMPFILE_BIT:
        directory = fcntl.cstring(_directory(state))
        flags |= fcntl.O_EXCL if state.linkable == "no" else 0
        return on.call(x86_64.openat, fcntl.AT_FDCWD, directory, flags, 0o600, why="nameless file")
    flags |= fcntl.O_CREAT | fcntl.O_EXCL
    if not opening.is_free(state.path):
        return _create_aside(state, flags, named, by_name, on)
    path = fcntl.cstring(state.path)
    made = on.call(x86_64.openat, fcntl.AT_FDCWD, path, flags, 0o600, why="deleted file")
    by_name.update(_open_by_name(fcntl.AT_FDCWD, state.path, named, on))
    on.call(x86_64.unlinkat, fcntl.AT_FDCWD, path, 0, why="deleted as before")
    return made


def _may_mount() -> bool:
    """Whether mounts can be copied (open_tree(2)) by who we are."""
    fd = libc.syscall_raw(x86_64.open_tree, fcntl.AT_FDCWD, b"/\0", fs.OPEN_TREE_CLONE | fcntl.O_CLOEXEC)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def _open_by_name(at: Slot | int, path: str, named: Sequence[File], on: Track) -> dict[int, Slot]:
    name, why = fcntl.cstring(path), "not by a link of procfs, which it must not follow"
    return {f.number: on.call(x86_64.openat, at, name, opening.again(f.flags), 0, why=why) for f in named}


def _create_aside(state: State, flags: int, named: Sequence[File], by_name: dict[int, Slot], on: Track) -> Slot:
    """The same path in a mount of its own, all of which is gone at once."""
    root = f"{_directory(state)}/.replant-{state.ino}"
    folders = [root]
    for word in state.path.split("/")[1:-1]:
        folders.append(f"{folders[-1]}/{word}")
    for folder in folders:
        name = fcntl.cstring(folder)
        slot = on.call(x86_64.mkdirat, fcntl.AT_FDCWD, name, 0o700, why="on the way to a name that is taken")
        on.undo(slot, x86_64.unlinkat, fcntl.AT_FDCWD, name, fcntl.AT_REMOVEDIR)
    how = fs.OPEN_TREE_CLONE | fcntl.O_CLOEXEC
    mount = on.call(x86_64.open_tree, fcntl.AT_FDCWD, fcntl.cstring(root), how, why="a mount that begins here")
    path = state.path.removeprefix("/")
    made = on.call(x86_64.openat, mount, fcntl.cstring(path), flags, 0o600, why="deleted file")
    on.undo(made, x86_64.unlinkat, fcntl.AT_FDCWD, fcntl.cstring(f"{root}/{path}"), 0)
    by_name.update(_open_by_name(mount, path, named, on))
    on.call(x86_64.unlinkat, fcntl.AT_FDCWD, fcntl.cstring(f"{root}/{path}"), 0, why="deleted as before")
    for folder in reversed(folders):
        on.call(x86_64.unlinkat, fcntl.AT_FDCWD, fcntl.cstring(folder), fcntl.AT_REMOVEDIR, why="the way to it is gone")
    on.call(x86_64.close, mount)
    return made


def _through_a_copy(files: Sequence[File], directory: str, on: Track, restore: RestoreSide) -> list[Slot]:
    """Make it where a copy of the mount is writable, and open it where the mount is not."""
    state = _state(files[0])
    name = os.path.basename(state.path)
    if not opening.is_free(state.path):
        name = f".replant-{state.ino}"
    how = fs.OPEN_TREE_CLONE | fcntl.O_CLOEXEC
    copy = on.call(x86_64.open_tree, fcntl.AT_FDCWD, fcntl.cstring(directory), how, why="a mount of our own")
    writable = fs.MOUNT_ATTR.pack(0, fs.MOUNT_ATTR_RDONLY, 0, 0)
    on.call(x86_64.mount_setattr, copy, b"\0", fcntl.AT_EMPTY_PATH, writable, len(writable), why="writable")
    flags = fcntl.O_RDWR | fcntl.O_CREAT | fcntl.O_EXCL
    made = on.call(x86_64.openat, copy, fcntl.cstring(name), flags, 0o600, why="deleted file on a read-only mount")
    on.undo(made, x86_64.unlinkat, copy, fcntl.cstring(name), 0)
    _fill(state, made, on, restore)
    opened = [opening.open_path(on, f"{directory}/{name}", file.flags, "through the mount it was on") for file in files]
    on.call(x86_64.unlinkat, copy, fcntl.cstring(name), 0, why="deleted as before")
    on.call(x86_64.close, made)
    return opened  # the copy stays open, so that its number cannot mean another directory if all is to be undone


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the locks of the description again."""
    locks.take(_state(file).locks, fd, on)


def settle_in(file: File, pid: int, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the record locks of the process again, when nothing closes a descriptor of the file any more."""
    locks.take_last(_state(file).locks, pid, fd, on)


def finish(file: File, on: Track, restore: RestoreSide) -> None:
    """Put flags on that forbid changes, once there are none to come."""
    flags = _state(file).flags
    if flags and not file.flags & fcntl.O_PATH:
        number = flags.to_bytes(8, "little")
        on.call(x86_64.ioctl, restore.fd(file.number), fs.FS_IOC_SETFLAGS, number, why="flags of chattr(1)")


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Kept attributes; contents and times are the program's own once it runs, the name is only a memory."""
    ignored = ["path", "dev", "ino", "extents", *(["size", "atime_ns", "mtime_ns"] if elapsed else [])]
    yield from compare.fields(before, after, ignored)
    if elapsed == 0 and contents.layout(before.extents) != contents.layout(after.extents):
        yield f"data at {contents.layout(before.extents)} -> {contents.layout(after.extents)}"
