"""/proc/PID/fd and fdinfo: what each descriptor stands for.

Three calls a descriptor, so all of them are relative to a directory: a fifth less time with a thousand of them.
"""

from __future__ import annotations

import errno
import os

from ..record import Record
from .read import gone, read, task_path, text


class Fd(Record):
    """A descriptor: the link's text, and stat(2) of the object behind it (``dev``, ``rdev`` as ``st_dev``)."""

    number: int
    target: str
    mode: int
    dev: int
    inode: int
    rdev: int
    size: int
    nlink: int


class FdInfo(Record):
    """proc_pid_fdinfo(5): ``flags`` as of open(2) with O_CLOEXEC, ``rest`` the lines that a kind of file adds."""

    pos: int
    flags: int
    mnt_id: int
    inode: int | None
    rest: tuple[str, ...]


def fds(pid: int, tid: int | None = None) -> list[Fd]:
    """All descriptors by number; those closed meanwhile are left out, a zombie has none.

    :raises TaskGone: the task has ended and been reaped.
    """
    path = task_path(pid, tid) + "/fd"
    with _Directory(pid, path) as directory:
        found = []
        for number in directory.numbers():
            name = str(number)
            try:
                target = os.readlink(name, dir_fd=directory.fd)
                st = os.stat(name, dir_fd=directory.fd)
            except FileNotFoundError:
                continue
            fields = (number, target, st.st_mode, st.st_dev, st.st_ino, st.st_rdev, st.st_size, st.st_nlink)
            found.append(Fd._make(fields))
        return found


def fdinfo(pid: int, fd: int, tid: int | None = None) -> FdInfo:
    """The fdinfo of one descriptor.

    :raises TaskGone: the task has ended and been reaped.
    :raises FileNotFoundError: it has no such descriptor.
    """
    return _parse(read(pid, f"{task_path(pid, tid)}/fdinfo/{fd}"))


def fdinfos(pid: int, tid: int | None = None) -> dict[int, FdInfo]:
    """The fdinfo of all descriptors by number; those closed meanwhile are left out.

    :raises TaskGone: the task has ended and been reaped.
    """
    with _Directory(pid, task_path(pid, tid) + "/fdinfo") as directory:
        found = {}
        for number in directory.numbers():
            try:
                fd = os.open(str(number), os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory.fd)
            except FileNotFoundError:
                continue
            try:
                found[number] = _parse(_all(fd))
            except FileNotFoundError:
                continue
            finally:
                os.close(fd)
        return found


def _all(fd: int) -> bytes:
    data = chunk = os.read(fd, 8192)
    while len(chunk) == 8192:
        chunk = os.read(fd, 8192)
        data += chunk
    return data


def _parse(data: bytes) -> FdInfo:
    lines = data.split(b"\n")
    pos, flags, mount = (
        int(line[line.index(b":") + 1 :], base) for line, base in zip(lines, (10, 8, 10), strict=False)
    )
    inode = int(lines[3][5:]) if lines[3].startswith(b"ino:\t") else None
    rest = lines[3 if inode is None else 4 : -1]
    return FdInfo(pos, flags, mount, inode, tuple([text(line) for line in rest]))


class _Directory:
    """A directory of descriptors, open while its entries are looked at."""

    def __init__(self, pid: int, path: str) -> None:
        self.pid = pid
        self.path = path

    def __enter__(self) -> _Directory:
        try:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise gone(self.pid, self.path, error) from None
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        os.close(self.fd)
        if isinstance(error, OSError) and error.errno == errno.ESRCH:
            raise gone(self.pid, self.path, error) from None

    def numbers(self) -> list[int]:
        """Descriptor numbers, ascending; ENOENT is how the kernel says that a zombie has no table any more."""
        try:
            return sorted(map(int, os.listdir(self.fd)))
        except FileNotFoundError as error:
            reason = gone(self.pid, self.path, error)
            if reason is error:
                return []
            raise reason from None
