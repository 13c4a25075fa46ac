"""Named regular files: what an open file description and a descriptor remember."""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import socket

from held import Check, Twin, mount

BEYOND = 5 << 30


def offsets_and_flags() -> Check:
    """Positions past 4 GiB, both ways of access, and every status flag that a file can have."""
    with open("data", "wb") as file:
        file.write(b"0123456789")
        file.truncate(BEYOND + 10)
    flags = [os.O_RDWR, os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_NONBLOCK | os.O_SYNC]
    flags += [os.O_RDONLY | os.O_NOATIME, os.O_RDWR | os.O_DIRECT | os.O_DSYNC, os.O_RDONLY | os.O_NOFOLLOW]
    files = [os.open("data", f) for f in flags]
    seen = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in files]
    os.lseek(files[0], BEYOND + 3, os.SEEK_SET)
    os.lseek(files[1], 4, os.SEEK_SET)

    def check() -> None:
        assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in files] == seen
        assert os.lseek(files[0], 0, os.SEEK_CUR) == BEYOND + 3
        os.write(files[0], b"ab")
        os.lseek(files[0], -2, os.SEEK_CUR)
        assert os.read(files[0], 2) == b"ab"
        os.lseek(files[0], -2, os.SEEK_CUR)
        assert os.read(files[1], 2) == b"45"
        os.lseek(files[1], -2, os.SEEK_CUR)

    return check


def appended() -> Check:
    """A log goes on at its end, whoever wrote to it meanwhile."""
    fd = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"one\n")

    def check() -> None:
        before = os.path.getsize("log")
        os.write(fd, b"more\n")
        assert os.path.getsize("log") == before + 5

    return check


def numbers() -> Check:
    """Descriptors from 0 to the highest allowed, some to be closed at exec, and none besides."""
    top = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    for number in (3 + 40, 255, 1023, top):
        os.dup2(0, number, inheritable=number % 2 == 0)
    known: dict[int, bool] = {}

    def check() -> None:
        now = {fd: os.get_inheritable(fd) for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)}
        known.update(now if not known else {})
        assert now == known and now[top] == (top % 2 == 0), f"{now}, not {known}"

    return check


def _is_open(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def descriptions() -> Check:
    """Copies and inherited descriptors share offset and flags; a second open does not."""
    fd = os.open("shared", os.O_RDWR | os.O_CREAT)
    os.write(fd, bytes(100))
    copy, other = os.dup(fd), os.open("shared", os.O_RDWR)
    os.lseek(fd, 10, os.SEEK_SET)

    def move() -> None:
        os.lseek(fd, 5, os.SEEK_CUR)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)

    twin = Twin(move)

    def check() -> None:
        os.lseek(copy, 10, os.SEEK_SET)
        fcntl.fcntl(copy, fcntl.F_SETFL, 0)
        twin.run()
        assert os.lseek(fd, 0, os.SEEK_CUR) == os.lseek(copy, 0, os.SEEK_CUR) == 15
        assert fcntl.fcntl(copy, fcntl.F_GETFL) & os.O_APPEND
        assert os.lseek(other, 0, os.SEEK_CUR) == 0 and not fcntl.fcntl(other, fcntl.F_GETFL) & os.O_APPEND

    return check


def fetched() -> Check:
    """A descriptor taken from another process, or received from it, is the same open file in both."""
    here, there = socket.socketpair()

    def open_and_read() -> None:
        fd = os.open("fetched", os.O_RDWR)
        os.lseek(fd, 3, os.SEEK_SET)
        socket.send_fds(there, [b"x"], [fd])

    def moved() -> None:
        offsets = [os.lseek(fd, 0, os.SEEK_CUR) for fd in _others("fetched")]
        assert offsets == [7], f"{offsets}"

    with open("fetched", "wb") as file:
        file.write(b"0123456789")
    twin = Twin(open_and_read, moved)
    twin.run(0)
    fd = socket.recv_fds(here, 1, 1)[1][0]

    def check() -> None:
        os.lseek(fd, 7, os.SEEK_SET)
        twin.run(1)

    return check


def _others(name: str) -> list[int]:
    return [fd for fd in map(int, os.listdir("/proc/self/fd")) if _link(fd).endswith(name)]


def _link(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


def on_overlay() -> Check:
    """Files of an overlay, from below and from above, mapped, open, deleted, and a directory of it half read."""
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(name)
    for name in ("mapped", "below", "gone"):
        with open(f"lower/{name}", "wb") as file:
            file.write(bytes(4096) + name.encode())
    here = os.getcwd()
    mount("merged", 0, "none", b"overlay", f"lowerdir={here}/lower,upperdir={here}/upper,workdir={here}/work")
    fd = os.open("merged/mapped", os.O_RDONLY)
    mapping = mmap.mmap(fd, 4096 + 6, prot=mmap.PROT_READ)
    os.close(fd)
    below, above = os.open("merged/below", os.O_RDONLY), os.open("merged/new", os.O_RDWR | os.O_CREAT)
    gone, folder = os.open("merged/gone", os.O_RDWR), os.open("merged", os.O_RDONLY)
    os.unlink("merged/gone")
    os.write(above, bytes(4096))
    shared = mmap.mmap(above, 4096)

    def check() -> None:
        assert mapping[4096:] == b"mapped" and os.pread(below, 10, 4096) == b"below"
        assert os.pread(gone, 10, 4096) == b"gone" and os.fstat(gone).st_nlink == 0
        shared[0] += 1
        assert os.pread(above, 1, 0) == shared[:1]
        assert sorted(os.listdir(folder)) == ["below", "mapped", "new"]

    return check


def precious() -> Check:
    """Data that is open, and data that is only mapped, in a directory of its own too."""
    os.mkdir("sub")
    for name in ("precious", "mapped", "sub/below"):
        with open(name, "wb") as file:
            file.write(name.encode() * 1000)
    os.chmod("precious", 0o640)
    os.chown("precious", 1234, 2345)
    fd, below = os.open("precious", os.O_RDWR), os.open("sub/below", os.O_RDONLY)
    mapped = os.open("mapped", os.O_RDWR)
    mapping = mmap.mmap(mapped, 6000)
    os.close(mapped)

    def check() -> None:
        assert os.pread(fd, 8, 8) == b"precious" and os.pread(below, 9, 0) == b"sub/below"
        assert mapping[6:12] == b"mapped"
        assert os.fstat(fd).st_nlink == 1 and os.path.samestat(os.fstat(fd), os.stat("precious"))

    return check
