"""Names of unix sockets: bound where they were, and reached there.

A name that is a path is a string and an inode. Where the inode is still in its place the name is bound there. Where it
is not (removed, its directory gone, another socket in its place by now), only the string is left: it is bound in an
empty file system that nobody else ever sees, and that is gone with the socket.
"""

from __future__ import annotations

import os

from replant.abi import fcntl, unix, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import nowhere
from replant.resources.shared.opening import through

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from replant.abi.call import Slot, Track

    T = TypeVar("T")
    StandIn = Callable[[Track, int, int, int], Track]

_ENOENT, _EINVAL = 2, 22
_CLONE_FS, _CLONE_NEWNS, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x200, 0x20000, 0x4000, 1 << 18, 2


class Name(Frozen):
    """``text`` is sun_path as it was bound, empty if it is not, NUL first if abstract.

    ``folder`` is the directory that a relative path was bound in, ``root`` that of the process if it was not ours;
    ``place`` is where the socket file is now, empty if it stands for the socket no more, ``covers`` are the mounts that
    hide it there, the uppermost first. ``origin`` is the file's
    inode, which a listener and what it accepted have in common; ``dev``, ``mode``, ``uid``, ``gid`` are its others.
    """

    text: bytes
    folder: str = ""
    root: str = ""
    place: str = ""
    covers: tuple[str, ...] = ()
    origin: int = 0
    dev: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0


class Names:
    """Binds names and reaches what they stand for; every call goes to ``on``, or to a stand-in at a place of it."""

    def __init__(self, on: Track, stand_in: StandIn) -> None:
        self.on = on
        self._stand_in = stand_in
        self._doors: dict[tuple[bytes, int], Slot] = {}  # what cannot be reached by its string, from where we are
        self._files: dict[str, Name] = {}  # socket files that were made, by place

    def clear(self, names: Iterable[Name]) -> None:
        """Remove the socket files that were left over."""
        for place in sorted({name.place for name in names if name.place and not name.covers}):
            self.on.call(x86_64.unlinkat, fcntl.AT_FDCWD, fcntl.cstring(place), 0, why="left over", ok=(_ENOENT,))

    def bind(self, fd: Slot, name: Name) -> None:
        """Give a socket its name, for which `clear` has made room."""
        if not name.text:
            return
        if not unix.is_path(name.text):
            address = unix.sockaddr(name.text)
            self.on.call(x86_64.bind, fd, address, len(address), why="name")
        elif name.covers:
            self._bind_below(fd, name)
        elif name.place:
            self._bind_in_place(fd, name)
        else:
            self._bind_nowhere(fd, name)

    def reach(self, on: Track, name: Name, act: Callable[[bytes], T]) -> T:
        """``act`` with an address of the socket that was bound to ``name`` (or, of origin 0, to the same text)."""
        key = name.text, name.origin
        if key in self._doors:
            return through(on, self._doors[key], lambda path: act(unix.sockaddr(os.fsencode(path) + b"\0")))
        return act(unix.sockaddr(name.text))

    def _bind_in_place(self, fd: Slot, name: Name) -> None:
        on, place = self.on, fcntl.cstring(name.place)
        address = unix.sockaddr(name.text)
        if not name.root and not name.folder:
            bound = on.call(x86_64.bind, fd, address, len(address), why="name")
            on.undo(bound, x86_64.unlinkat, fcntl.AT_FDCWD, unix.path(name.text) + b"\0", 0)
        else:
            inside = self._inside(_CLONE_FS)
            _enter(inside, name.root, name.folder)
            inside.call(x86_64.bind, fd, address, len(address), why="name")
            self._open_door(fd, name)
        made = bound_path(name)
        if made != name.place:
            moved = on.call(x86_64.rename, fcntl.cstring(made), place, why="it was renamed")
            on.undo(moved, x86_64.unlinkat, fcntl.AT_FDCWD, place, 0)
            self._open_door(fd, name)
        self._files[name.place] = name

    def _bind_below(self, fd: Slot, name: Name) -> None:
        """In mounts of its own a stand-in takes away what hides the place; what is gone by now hides nothing."""
        inside = self._inside(_CLONE_NEWNS)
        inside.call(x86_64.mount, b"none\0", b"/\0", 0, _MS_REC | _MS_PRIVATE, 0)
        for cover in name.covers:
            inside.call(x86_64.umount2, fcntl.cstring(cover), _MNT_DETACH, why="it hides the socket", ok=(_EINVAL,))
        place, address = fcntl.cstring(name.place), unix.sockaddr(name.text)
        inside.call(x86_64.unlinkat, fcntl.AT_FDCWD, place, 0, why="left over", ok=(_ENOENT,))
        door = inside.call(x86_64.openat, fcntl.AT_FDCWD, _folder(place), fcntl.O_PATH | fcntl.O_CLOEXEC, 0)
        _enter(inside, name.root, name.folder)
        inside.call(x86_64.bind, fd, address, len(address), why="name")
        file = _base(place)
        inside.call(x86_64.fchownat, door, file, name.uid, name.gid, 0, why="owner of the socket file")
        inside.call(x86_64.fchmodat, door, file, name.mode, why="its mode")
        inside.call(x86_64.close, door)
        self._open_door(fd, name)

    def _bind_nowhere(self, fd: Slot, name: Name) -> None:
        on, path = self.on, os.fsdecode(unix.path(name.text))
        folder = name.folder or "/"
        top, whole = nowhere.with_folders(on, os.path.join(folder, path))
        inside = self._inside(_CLONE_FS)
        inside.call(x86_64.fchdir, top)
        inside.call(x86_64.chroot, b".\0", why="where nothing has a name yet")
        inside.call(x86_64.chdir, fcntl.cstring(folder))
        address = unix.sockaddr(name.text)
        inside.call(x86_64.bind, fd, address, len(address), why="a name whose file is gone")
        self._open_door(fd, name)
        on.call(x86_64.unlinkat, top, whole, 0, why="gone as before")
        on.call(x86_64.close, top)

    def _inside(self, own: int) -> Track:
        """A stand-in with root and directory of its own, or mounts as well: those of the restorer stay as they are."""
        inside = self._stand_in(self.on, 0, -1, -1)
        inside.call(x86_64.unshare, own, why="root, directory and perhaps mounts of its own")
        return inside

    def _open_door(self, fd: Slot, name: Name) -> None:
        door = self.on.call(x86_64.ioctl, fd, unix.SIOCUNIXFILE, 0, why="the file of the socket")
        self._doors[name.text, name.origin] = door

    def finish(self) -> None:
        """Owner and mode of the socket files that were made, and no descriptor left."""
        for place, name in self._files.items():
            path = fcntl.cstring(place)
            self.on.call(x86_64.fchownat, fcntl.AT_FDCWD, path, name.uid, name.gid, 0, why="owner of the socket file")
            self.on.call(x86_64.fchmodat, fcntl.AT_FDCWD, path, name.mode, why="its mode")
        for door in self._doors.values():
            self.on.call(x86_64.close, door)


def _folder(place: bytes) -> bytes:
    return (place.rpartition(b"/")[0] or b"/") + b"\0"


def _base(place: bytes) -> bytes:
    return place.rpartition(b"/")[2]


def bound_path(name: Name) -> str:
    """Where a name that is a path was bound, seen from here."""
    return name.root + os.path.join(name.folder or "/", os.fsdecode(unix.path(name.text)))


def _enter(inside: Track, root: str, folder: str) -> None:
    if root:
        inside.call(x86_64.chdir, fcntl.cstring(root))
        inside.call(x86_64.chroot, b".\0", why="the root of who bound it")
    if folder:
        inside.call(x86_64.chdir, fcntl.cstring(folder), why="where the relative name was bound")
