"""inotify and fanotify."""

from __future__ import annotations

import os
import struct

from held import Check, Twin, in_memory

from replant.abi import x86_64
from replant.abi.libc import syscall

MODIFY, CREATE, DELETE, CLOSE_WRITE, OPEN, ATTRIB = 0x2, 0x100, 0x200, 0x8, 0x20, 0x4
DONT_FOLLOW, ONESHOT = 1 << 25, 1 << 31
Event = tuple[int, int, str]


def _inotify() -> int:
    return syscall(x86_64.inotify_init1, os.O_NONBLOCK)


def _watch(fd: int, path: str, mask: int) -> int:
    return syscall(x86_64.inotify_add_watch, fd, os.fsencode(path) + b"\0", mask)


def _events(fd: int) -> list[Event]:
    try:
        data = os.read(fd, 1 << 16)
    except BlockingIOError:
        return []
    found, at = [], 0
    while at < len(data):
        wd, mask, _, length = struct.unpack_from("=iIII", data, at)
        found.append((wd, mask, data[at + 16 : at + 16 + length].rstrip(b"\0").decode()))
        at += 16 + length
    return found


def watches() -> Check:
    """On a directory, a file, tmpfs and a link not followed, with gaps between the numbers."""
    fd, memory = _inotify(), in_memory("memory")
    os.mkdir("watched")
    os.close(os.open("watched-file", os.O_CREAT))
    os.symlink("watched", "watched-link")
    syscall(x86_64.inotify_rm_watch, fd, _watch(fd, ".", DELETE))
    wds = [_watch(fd, "watched", CREATE | DELETE), _watch(fd, "watched-file", CLOSE_WRITE), _watch(fd, memory, CREATE)]
    syscall(x86_64.inotify_rm_watch, fd, wds[1])
    wds[1] = _watch(fd, "watched-file", CLOSE_WRITE)
    wds.append(_watch(fd, "watched-link", ATTRIB | DONT_FOLLOW))
    _events(fd)

    def check() -> None:
        assert _events(fd) == [], "something happened"
        os.mkdir("watched/new")
        os.rmdir("watched/new")
        os.close(os.open("watched-file", os.O_WRONLY))
        os.mkdir(f"{memory}/new")
        os.rmdir(f"{memory}/new")
        os.chown("watched-link", 0, 0, follow_symlinks=False)
        folder = 1 << 30
        wanted = [
            (wds[0], CREATE | folder, "new"), (wds[0], DELETE | folder, "new"), (wds[1], CLOSE_WRITE, ""),
            (wds[2], CREATE | folder, "new"), (wds[3], ATTRIB, ""),
        ]  # fmt: skip
        found = _events(fd)
        assert found == wanted, f"{found}, not {wanted}"

    return check


def watch_on_the_unlinked() -> Check:
    """A watched file has lost its name, and is open; so has a directory."""
    fd = _inotify()
    file = os.open("uwatched", os.O_RDWR | os.O_CREAT)
    os.mkdir("uwatched-folder")
    folder = os.open("uwatched-folder", os.O_RDONLY)
    wds = [_watch(fd, "uwatched", MODIFY), _watch(fd, "uwatched-folder", ATTRIB)]
    os.unlink("uwatched")
    os.rmdir("uwatched-folder")
    _events(fd)

    def check() -> None:
        assert _events(fd) == [], "something happened"
        os.pwrite(file, b"x", 0)
        os.fchmod(folder, 0o700)
        found = _events(fd)
        assert found == [(wds[0], MODIFY, ""), (wds[1], ATTRIB | 1 << 30, "")], f"{found}"

    return check


def watch_by_another_name() -> Check:
    """A watched file has several links, and the name that it was watched by is gone."""
    fd = _inotify()
    os.close(os.open("first-name", os.O_CREAT))
    os.link("first-name", "second-name")
    wd = _watch(fd, "first-name", MODIFY)
    os.unlink("first-name")
    _events(fd)

    def check() -> None:
        assert _events(fd) == []
        with open("second-name", "ab") as file:
            file.write(b"x")
        assert _events(fd) == [(wd, MODIFY, "")]

    return check


def thousands() -> Check:
    fd = _inotify()
    os.mkdir("thousands")
    wds = {}
    for n in range(3000):
        os.close(os.open(f"thousands/{n}", os.O_CREAT))
        wds[n] = _watch(fd, f"thousands/{n}", MODIFY)

    def check() -> None:
        assert _events(fd) == []
        for n in (0, 1500, 2999):
            with open(f"thousands/{n}", "ab") as file:
                file.write(b"x")
        found = _events(fd)
        assert found == [(wds[n], MODIFY, "") for n in (0, 1500, 2999)], f"{found}"

    return check


def everything_of_the_tree() -> Check:
    """Whatever the dump and the restore open, read, make and close is watched: none of it is an event."""
    fd = _inotify()
    os.mkdir("all")
    name = os.path.join("all", "data")
    plain = os.open(name, os.O_RDWR | os.O_CREAT)
    gone = os.open("all/gone", os.O_RDWR | os.O_CREAT)
    os.unlink("all/gone")
    os.mkfifo("all/fifo")
    fifo = os.open("all/fifo", os.O_RDWR)
    folder = os.open("all", os.O_RDONLY)
    os.mkdir("all/removed")
    removed = os.open("all/removed", os.O_RDONLY)
    os.rmdir("all/removed")
    wd = _watch(fd, "all", 0xFFF)
    _watch(fd, name, 0xFFF)

    def check() -> None:
        found = _events(fd)
        assert found == [], f"{found}"
        os.close(os.open("all/data", os.O_RDONLY))
        found = _events(fd)
        assert found[0] == (wd, OPEN, "data"), f"{found}"
        assert min(plain, gone, fifo, folder, removed) >= 0

    return check


def unread() -> Check:
    """Events that nobody has read yet; they are read only at the end."""
    fd = _inotify()
    os.mkdir("unread")
    wd = _watch(fd, "unread", CREATE)
    os.mkdir("unread/one")

    def check() -> None:
        room = bytearray(4)
        syscall(x86_64.ioctl, fd, 0x541B, room)  # FIONREAD
        assert int.from_bytes(room, "little") == 32 and wd > 0

    return check


class Fan:
    """A fanotify group that tells with the path, by an open descriptor of the file."""

    def __init__(self, flags: int = 0) -> None:
        self.fd = syscall(x86_64.fanotify_init, flags | 2, os.O_RDONLY)  # FAN_NONBLOCK

    def mark(self, path: str, mask: int, flags: int = 0) -> None:
        syscall(x86_64.fanotify_mark, self.fd, 1 | flags, mask, -100, os.fsencode(path) + b"\0")

    def told(self, below: str) -> list[tuple[int, str]]:
        """Mask and path, of files below a directory: others use the same filesystem."""
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return []
        found = []
        for at in range(0, len(data), 24):
            mask, fd, _ = struct.unpack_from("=Qii", data, at + 8)
            path = os.readlink(f"/proc/self/fd/{fd}")
            os.close(fd)
            if path.startswith(below):
                found.append((mask, os.path.basename(path)))
        return found


F_MODIFY, F_OPEN, F_CLOSE_WRITE, F_ON_CHILD = 0x2, 0x20, 0x8, 0x08000000
MARK_IGNORED, MARK_SURVIVES, MARK_MOUNT = 0x20, 0x40, 0x10


def fan_marks() -> Check:
    """Marks on inodes and on a mount, with masks of what to ignore."""
    here = os.getcwd()
    os.mkdir("fan")
    in_memory("fan-mount")
    for name in ("fan/a", "fan/quiet", "fan-mount/a", "fan-mount/quiet"):
        os.close(os.open(name, os.O_CREAT))
    inode, mount = Fan(), Fan()
    inode.mark("fan", F_CLOSE_WRITE | F_ON_CHILD)
    inode.mark("fan/quiet", F_CLOSE_WRITE, MARK_IGNORED | MARK_SURVIVES)
    mount.mark("fan-mount", F_CLOSE_WRITE, MARK_MOUNT)
    mount.mark("fan-mount/quiet", F_CLOSE_WRITE, MARK_IGNORED | MARK_SURVIVES)

    def check() -> None:
        assert inode.told(here) == [] == mount.told(here), "something happened"
        for name in ("fan/a", "fan/quiet", "fan-mount/a", "fan-mount/quiet"):
            os.close(os.open(name, os.O_WRONLY))
        found = inode.told(here), mount.told(here)
        assert found == ([(F_CLOSE_WRITE, "a")], [(F_CLOSE_WRITE, "a")]), f"{found}"

    return check


def fan_unread() -> Check:
    fan = Fan()
    os.mkdir("fan-unread")
    fan.mark("fan-unread", F_OPEN | F_ON_CHILD | 0x40000000)
    Twin(lambda: None)
    os.listdir("fan-unread")

    def check() -> None:
        assert fan.fd >= 0

    return check


def fan_permission() -> Check:
    """Whoever opens a file must wait for this program's leave; it gives it only in its check."""
    os.mkdir("guarded")
    os.close(os.open("guarded/file", os.O_CREAT))
    gone = os.open("guarded/gone", os.O_RDWR | os.O_CREAT)
    os.unlink("guarded/gone")
    fan = Fan(4)  # FAN_CLASS_CONTENT
    fan.mark("guarded", 0x10000 | F_ON_CHILD)  # FAN_OPEN_PERM

    def check() -> None:
        assert fan.told(os.getcwd()) == [] and gone >= 0

    return check
