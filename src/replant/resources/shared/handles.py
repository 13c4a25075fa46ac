"""Watched inodes: the kernel tells a handle of each (name_to_handle_at(2)); the name is what the inode has now."""

from __future__ import annotations

import os
from stat import S_ISLNK

from replant.abi import fcntl, inotify, libc, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.opening import path_of
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide


class Place(Frozen):
    """A watched inode: where it is; or, where it has no name, ``through`` which description of the tree it is reached.

    ``is_link``: the path is that of a symbolic link itself. ``through`` is -1 where there is a path.
    """

    path: str
    dev: int
    ino: int
    is_link: bool
    through: int = -1


class Mount(Frozen):
    """A line of proc_pid_mountinfo(5): mount ``number`` at ``point``; ``dev`` as ``major:minor``."""

    number: int
    dev: str
    point: str


def mounts() -> list[Mount]:
    """The mounts that we see."""
    found = []
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            words = line.split()
            point = os.fsdecode(words[4].decode("unicode_escape").encode("latin-1"))
            found.append(Mount(int(words[0]), words[2].decode(), point))
    return found


def device(sdev: str) -> str:
    """The kernel's own number of a device, in hexadecimal digits, as ``major:minor``."""
    number = int(sdev, 16)
    return f"{number >> 20}:{number & 0xFFFFF}"


def place(f: FileFacts, row: dict[str, str], seen: Sequence[Mount], dump: DumpSide) -> Place:
    """The inode of a line of fdinfo, given as its words. :raises Blocker: it has no name that can be found."""
    ino, dev = int(row["ino"], 16), device(row["sdev"])
    for path, st in _named(row, [m.point for m in seen if m.dev == dev]) if "f_handle" in row else ():
        if st.st_ino == ino:
            return Place(path, st.st_dev, ino, S_ISLNK(st.st_mode))
    through = dump.file_of(os.makedev(*map(int, dev.split(":"))), ino)
    if through is None:
        raise refuse(f, f"it watches a file without a name that can be found (inode {ino})", "remove the watch")
    return Place("", 0, ino, is_link=False, through=through)


def _named(row: dict[str, str], points: Sequence[str]) -> Iterator[tuple[str, os.stat_result]]:
    """The path of the inode with that handle as seen through each mount of its filesystem."""
    handle = inotify.pack_handle(int(row["fhandle-type"], 16), bytes.fromhex(row["f_handle"]))
    for point in points:
        try:
            at = os.open(point, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # a mount point that another mount hides, or that cannot be opened
            continue
        fd = libc.syscall_raw(x86_64.open_by_handle_at, at, handle, fcntl.O_PATH | fcntl.O_CLOEXEC)
        os.close(at)
        if fd < 0:
            continue
        try:
            path, own = os.readlink(path_of(fd)), os.fstat(fd)
            st = os.lstat(path)
            if (st.st_dev, st.st_ino) == (own.st_dev, own.st_ino):
                yield path, st
        except OSError:
            continue
        finally:
            os.close(fd)


def check(file: File, at: Place) -> None:
    """:raises Blocker: what was watched is gone, or another one has its name."""
    if at.through >= 0:
        return
    try:
        found = os.lstat(at.path)
    except OSError as error:
        raise hinder(file, at.path, f"watched, and {error.strerror}", "put it back", "file-gone") from None
    if at.ino and (found.st_dev, found.st_ino) != (at.dev, at.ino):
        raise hinder(file, at.path, "watched, and another file now", "put the watched one back")


def path(at: Place, restore: RestoreSide) -> bytes:
    """By which a holder reaches it."""
    return fcntl.cstring(at.path if at.through < 0 else path_of(restore.fd(at.through)))


def moved(at: Place, to: Callable[[str], str]) -> Place:
    """What is watched there is another inode."""
    new = to(at.path)
    return at if new == at.path else at._replace(path=new, dev=0, ino=0)
