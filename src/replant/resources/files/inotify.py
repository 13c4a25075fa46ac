"""inotify(7): watches by number, file and mask. Unread events are refused.

The kernel tells which inode a watch is on, by a handle; the path is that of the inode now. Watches are put on by a
holder, when every file of the tree is open: what the restore itself opens, makes and removes puts no event in there.
"""

from __future__ import annotations

import os
from stat import S_ISLNK

from replant.abi import fcntl, inotify, libc, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False


class Watch(Frozen):
    """Watch number ``wd`` on the inode at ``path``; ``mask`` with flags, as inotify_add_watch(2) takes it."""

    wd: int
    path: str
    dev: int
    ino: int
    mask: int


class State(Frozen):
    """The watches in order of their numbers."""

    watches: tuple[Watch, ...]


def claims(f: FileFacts) -> bool:
    """The kernel names it ``inotify``, without brackets."""
    return f.link == "anon_inode:inotify"


def read(f: FileFacts, dump: DumpSide) -> State:
    """The ``inotify`` lines of fdinfo. :raises Blocker: events are unread, or a watched file has no name any more."""
    if socket.queued(f.grab()):
        raise refuse(f, "events that are not yet read are queued in it", "let the program read them")
    rows = [dict([w.split(":", 1) for w in line.split()[1:]]) for line in f.lines if line.startswith("inotify ")]
    mounts = _mounts() if rows else {}
    return State(tuple(sorted(_watch(f, row, mounts) for row in rows)))


def _watch(f: FileFacts, row: dict[str, str], mounts: dict[str, list[str]]) -> Watch:
    wd, mask, ino, device = int(row["wd"], 16), int(row["mask"], 16), int(row["ino"], 16), int(row["sdev"], 16)
    if "f_handle" in row:
        handle = inotify.pack_handle(int(row["fhandle-type"], 16), bytes.fromhex(row["f_handle"]))
        for mount in mounts.get(f"{device >> 20}:{device & 0xFFFFF}", ()):
            found = _named(mount, handle, ino)
            if found is not None:
                path, st = found
                follow = inotify.IN_DONT_FOLLOW if S_ISLNK(st.st_mode) else 0
                return Watch(wd, path, st.st_dev, st.st_ino, mask | follow)
    raise refuse(f, f"its watch {wd} is on a file without a name that can be found (inode {ino})", "remove the watch")


def _mounts() -> dict[str, list[str]]:
    """Mount points by the device of their filesystem, from proc_pid_mountinfo(5)."""
    found: dict[str, list[str]] = {}
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            words = line.split()
            point = os.fsdecode(words[4].decode("unicode_escape").encode("latin-1"))
            found.setdefault(words[2].decode(), []).append(point)
    return found


def _named(mount: str, handle: bytes, ino: int) -> tuple[str, os.stat_result] | None:
    """The path of the inode with that handle, if it is visible below the mount."""
    try:
        at = os.open(mount, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a mount point that another mount hides, or that cannot be opened
        return None
    try:
        fd = libc.syscall_raw(x86_64.open_by_handle_at, at, handle, fcntl.O_PATH | fcntl.O_CLOEXEC)
    finally:
        os.close(at)
    if fd < 0:
        return None
    try:
        path, own = os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd)
        st = os.lstat(path)
    except OSError:
        return None
    finally:
        os.close(fd)
    return (path, st) if (st.st_dev, st.st_ino) == (own.st_dev, own.st_ino) and st.st_ino == ino else None


def check(file: File) -> None:
    """:raises Blocker: a watched file is gone, or another one has its name."""
    for watch in _state(file).watches:
        try:
            found = os.lstat(watch.path)
        except OSError as error:
            raise hinder(file, watch.path, f"watched, and {error.strerror}", "put it back", "file-gone") from None
        if (found.st_dev, found.st_ino) != (watch.dev, watch.ino):
            raise hinder(file, watch.path, "watched, and another file now", "put the watched one back")


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Without watches yet."""
    return [on.call(x86_64.inotify_init1, file.flags & fcntl.O_NONBLOCK, why="inotify") for file in files]


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Each watch under its number."""
    for watch in _state(file).watches:
        on.call(x86_64.ioctl, fd, inotify.INOTIFY_IOC_SETNEXTWD, watch.wd, why="number of the next watch")
        on.call(x86_64.inotify_add_watch, fd, fcntl.cstring(watch.path), watch.mask, why=f"watch {watch.wd}")
