"""Open directories, current directories and roots."""

from __future__ import annotations

import errno
import os
import struct

from held import Check, Twin, in_memory, raises

from replant.abi import x86_64
from replant.abi.libc import syscall


def half_read() -> Check:
    """It goes on with the entries not yet returned, on a disk and in memory."""
    checks = [_half_read("many"), _half_read(f"{in_memory('memory')}/many")]
    return lambda: [check() for check in checks] and None


def _half_read(path: str) -> Check:
    os.mkdir(path)
    names = {f"{n:03}" for n in range(600)}
    for name in names:
        os.close(os.open(f"{path}/{name}", os.O_CREAT))
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    first = _entries(fd)
    at = os.lseek(fd, 0, os.SEEK_CUR)

    def check() -> None:
        rest = []
        while more := _entries(fd):
            rest += more
        assert sorted(first + rest) == sorted([".", "..", *names]), "entries are missing or came twice"
        os.lseek(fd, at, os.SEEK_SET)

    return check


def _entries(fd: int) -> list[str]:
    """The names that one getdents64(2) gives."""
    room, found, at = bytearray(2048), [], 0
    got = syscall(x86_64.getdents64, fd, room, len(room))
    while at < got:
        length = struct.unpack_from("=H", room, at + 16)[0]
        found.append(bytes(room[at + 19 : at + length]).partition(b"\0")[0].decode())
        at += length
    return found


def ordinary() -> Check:
    os.makedirs("folder/entry")
    fd = os.open("folder", os.O_RDONLY)
    return lambda: _is(os.listdir(fd), ["entry"])


def _is(found: object, wanted: object) -> None:
    assert found == wanted, f"{found}, not {wanted}"


def removed() -> Check:
    """Removed ones: alone, one in another, its name taken by a directory or a file since, and twice the same name."""
    os.makedirs("outer/inner")
    files = [os.open(name, os.O_RDONLY) for name in ("outer", "outer/inner", "outer/inner")]
    os.rmdir("outer/inner")
    os.rmdir("outer")
    for taken in (os.mkdir, lambda path: os.close(os.open(path, os.O_CREAT)), None):
        name = f"taken{len(files)}"
        os.mkdir(name, 0o751)
        files.append(os.open(name, os.O_RDONLY))
        os.rmdir(name)
        if taken:
            taken(name)
    os.mkdir("taken5", 0o700)
    files.append(os.open("taken5", os.O_RDONLY | os.O_PATH))
    os.rmdir("taken5")
    was = [_facts(fd) for fd in files]

    def check() -> None:
        assert [_facts(fd) for fd in files] == was, f"{was} -> {[_facts(fd) for fd in files]}"
        assert os.path.sameopenfile(files[1], files[2]) and not os.path.sameopenfile(files[0], files[1])
        assert not os.path.sameopenfile(files[5], files[6])
        for fd in files:
            raises(errno.ENOENT, lambda fd=fd: os.mkdir("new", dir_fd=fd))
        assert os.path.isdir("taken3") and os.path.isfile("taken4") and not os.path.exists("outer")

    return check


def _facts(fd: int) -> tuple[int, int, int]:
    st = os.fstat(fd)
    return st.st_mode, st.st_uid, st.st_nlink


def removed_current() -> Check:
    """The current directory is removed, in one process only, and in another open by descriptor as well."""
    os.makedirs("cwd/in")

    def gone() -> None:
        raises(errno.ENOENT, os.getcwd)
        assert os.readlink("/proc/self/cwd").endswith("cwd/in (deleted)"), os.readlink("/proc/self/cwd")
        raises(errno.ENOENT, lambda: os.mkdir("new"))

    here = os.getcwd()
    os.chdir("cwd/in")
    plain = Twin(gone)
    fd = os.open(".", os.O_RDONLY)

    def same() -> None:
        gone()
        assert os.stat(".").st_ino == os.fstat(fd).st_ino

    held = Twin(same)
    os.chdir(here)
    os.close(fd)
    os.rmdir("cwd/in")
    os.rmdir("cwd")

    def check() -> None:
        plain.run()
        held.run()
        assert os.getcwd() == here and not os.path.exists("cwd")

    return check


def chroot() -> Check:
    """A process in another root uses files outside of it that it had open before."""
    os.makedirs("jail/inside")
    with open("outside", "wb") as file:
        file.write(b"outside")
    fd, folder = os.open("outside", os.O_RDWR), os.open(".", os.O_RDONLY)
    gone = os.open("gone", os.O_RDWR | os.O_CREAT)
    os.unlink("gone")
    way = os.getcwd()

    def enter() -> None:
        os.chroot("jail")
        os.chdir("/inside")

    def check() -> None:
        assert os.listdir("/") == ["inside"] and os.getcwd() == "/inside"
        assert os.pread(fd, 10, 0) == b"outside" and "jail" in os.listdir(folder)
        os.pwrite(gone, b"!", 0)
        raises(errno.ENOENT, lambda: os.stat(way))

    twin = Twin(enter, check)
    twin.run(0)
    return lambda: twin.run(1)
