"""Regular files that have lost the name they were opened by, or never had one."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable

from held import Check, Twin, in_child, in_memory, mount, raises

GIB = 1 << 30
Facts = tuple[int, int, int, int, int, int]
libc = ctypes.CDLL(None, use_errno=True)


def deleted(path: str, data: bytes = b"contents", flags: int = os.O_RDWR) -> int:
    """A descriptor of a file that has just lost its only name."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    with open(path, "wb") as file:
        file.write(data)
    fd = os.open(path, flags)
    os.unlink(path)
    return fd


def facts(fd: int) -> Facts:
    st = os.fstat(fd)
    return st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns, st.st_nlink


def unchanged(fd: int, *further: Check) -> Check:
    """Attributes, the name that procfs shows, and the bytes stay; ``further`` is checked as well."""
    was, link, data = facts(fd), os.readlink(f"/proc/self/fd/{fd}"), os.pread(fd, 1000, 0)

    def check() -> None:
        assert facts(fd) == was, f"{was} -> {facts(fd)}"
        assert os.readlink(f"/proc/self/fd/{fd}") == link
        assert os.pread(fd, 1000, 0) == data
        for each in further:
            each()

    return check


def attributes() -> Check:
    """Contents, mode, owner, times, extended attributes; shared with a child, and nameless."""
    fd = deleted("file")
    os.fchown(fd, 1234, 2345)
    os.fchmod(fd, 0o4751)
    os.setxattr(fd, "user.colour", b"blue")
    os.utime(fd, ns=(10**18 + 1, 10**18 + 2))
    was = facts(fd)

    def seen() -> None:
        assert facts(fd) == was and os.getxattr(fd, "user.colour") == b"blue"
        os.lseek(fd, 3, os.SEEK_SET)

    twin = Twin(seen)

    def shared() -> None:
        twin.run()
        assert os.lseek(fd, 0, os.SEEK_CUR) == 3 and not os.path.exists("file")

    return unchanged(fd, shared)


def inode_flags() -> Check:
    """A file that may only be appended to, or not be changed at all."""
    files = [(deleted("append"), 0x20), (deleted("immutable"), 0x10), (deleted("nodump"), 0x40)]
    for fd, flag in files:
        _set_flags(fd, _flags(fd) | flag)
    found = [_flags(fd) for fd, _ in files]

    def check() -> None:
        assert [_flags(fd) for fd, _ in files] == found, f"{found} -> {[_flags(fd) for fd, _ in files]}"

    return check


def _flags(fd: int) -> int:
    number = ctypes.c_int()
    assert libc.ioctl(fd, ctypes.c_ulong(0x80086601), ctypes.byref(number)) == 0, os.strerror(ctypes.get_errno())
    return number.value


def _set_flags(fd: int, flags: int) -> None:
    number = ctypes.c_int(flags)
    assert libc.ioctl(fd, ctypes.c_ulong(0x40086602), ctypes.byref(number)) == 0, os.strerror(ctypes.get_errno())


def another_link_is_left() -> Check:
    """Opened by a name that is gone, while another stays: one inode, whichever way it is reached."""
    os.makedirs("deep/er")
    fd = _linked("gone", "deep/er/left")

    def check() -> None:
        assert os.path.sameopenfile(fd, named) and os.fstat(fd).st_nlink == 1
        assert os.readlink(f"/proc/self/fd/{fd}").endswith("/gone (deleted)")
        os.pwrite(fd, b"new", 0)
        assert os.pread(named, 3, 0) == b"new" and not os.path.exists("gone")

    named = os.open("deep/er/left", os.O_RDONLY)
    return check


def another_link_replaced() -> Check:
    """The same, and its old name is another file's now."""
    fd = _linked("replaced", "beside")
    with open("replaced", "wb") as file:
        file.write(b"another")

    def check() -> None:
        assert os.fstat(fd).st_ino == os.stat("beside").st_ino
        assert os.pread(fd, 8, 0) == b"contents"
        with open("replaced", "rb") as file:
            assert file.read() == b"another"

    return check


def _linked(name: str, other: str) -> int:
    with open(name, "wb") as file:
        file.write(b"contents")
    os.link(name, other)
    fd = os.open(name, os.O_RDWR)
    os.unlink(name)
    return fd


def replaced() -> Check:
    """The path is a new file now."""
    fd = deleted("path")
    others = [os.open(f"/proc/self/fd/{fd}", os.O_RDONLY), deleted("direct", flags=os.O_RDONLY | os.O_NOFOLLOW)]
    with open("path", "wb") as file:
        file.write(b"new")
    flags = [fcntl.fcntl(each, fcntl.F_GETFL) for each in (fd, *others)]

    def check() -> None:
        assert [fcntl.fcntl(each, fcntl.F_GETFL) for each in (fd, *others)] == flags
        assert os.pread(fd, 100, 0) == b"contents" and os.fstat(fd).st_nlink == 0
        with open("path", "rb") as file:
            assert file.read() == b"new"

    return check


def all_links_gone() -> Check:
    """Opened by each of its names, all of which are gone: one inode."""
    with open("one", "wb") as file:
        file.write(b"contents")
    os.link("one", "two")
    os.link("one", "three")
    files = [os.open(name, os.O_RDWR) for name in ("one", "two", "three")]
    for name in ("one", "two", "three"):
        os.unlink(name)

    def check() -> None:
        assert len({os.fstat(fd).st_ino for fd in files}) == 1
        os.pwrite(files[0], b"C", 0)
        assert os.pread(files[1], 1, 0) == os.pread(files[2], 1, 0) == b"C"

    return check


def directory_is_gone() -> Check:
    os.makedirs("a/b")
    fd = deleted("a/b/file")
    os.rmdir("a/b")
    os.rmdir("a")

    def check() -> None:
        assert os.pread(fd, 100, 0) == b"contents" and os.fstat(fd).st_nlink == 0
        assert not os.path.exists("a")

    return check


def odd_names() -> Check:
    names = ['it\'s "quoted"', "new\nline", "100%s %d%n", "tab\tand \\134 backslash", " (deleted)", "x (deleted)"]
    names += [b"\xff\xfe".decode("utf-8", "surrogateescape"), "n" * 240]
    checks = [unchanged(deleted(name)) for name in names]
    return lambda: [check() for check in checks] and None


def unwritable_directory() -> Check:
    os.mkdir("closed")
    fd = deleted("closed/file")
    os.chmod("closed", 0o500)
    os.chown("closed", 1234, 1234)
    return unchanged(fd)


def read_only_mount() -> Check:
    """The mount that it was opened through cannot be written to any more."""
    os.mkdir("mount")
    mount("mount", 0x1000, "mount")  # MS_BIND
    fd = deleted("mount/file", flags=os.O_RDONLY)
    mount("mount", 0x1000 | 0x20 | 1)  # MS_BIND | MS_REMOUNT | MS_RDONLY
    return unchanged(fd, lambda: raises(errno.EROFS, lambda: os.mkdir("mount/new")))


def only_mapped() -> Check:
    """No descriptor is left; the mapping changes the file, and so is seen by a child that maps it too."""
    fd = deleted("mapped", bytes(8192))
    shared = mmap.mmap(fd, 8192)
    private = mmap.mmap(fd, 8192, mmap.MAP_PRIVATE)
    os.close(fd)
    shared[:4], private[4096:4100] = b"here", b"mine"

    def check() -> None:
        assert private[:4] == b"here" and private[4096:4100] == b"mine" and shared[4096:4100] == bytes(4)
        in_child(lambda: shared.__setitem__(slice(8, 12), b"told"))
        assert shared[8:12] == b"told" == private[8:12]

    return check


def mapped_and_open() -> Check:
    """Mapped, open, and opened by several names, all gone."""
    with open("both", "wb") as file:
        file.write(bytes(4096))
    os.link("both", "both2")
    fd, other = os.open("both", os.O_RDWR), os.open("both2", os.O_RDWR)
    os.unlink("both")
    os.unlink("both2")
    mapping = mmap.mmap(fd, 4096)
    count = 0

    def check() -> None:
        nonlocal count
        count += 1
        mapping[0] = count
        assert os.pread(fd, 1, 0) == os.pread(other, 1, 0) == bytes([count])

    return check


def holes() -> Check:
    """Holes at head, middle and tail, of a GiB, and thousands of them."""
    layouts = [[(4096 * 5, 10)], [(0, 10), (GIB, 10)], [(0, 10)], [(n * 8192, 1) for n in range(2000)], []]
    files = []
    for number, layout in enumerate(layouts):
        fd = deleted(f"holes{number}", b"")
        os.truncate(fd, GIB + 123456)
        for at, count in layout:
            os.pwrite(fd, b"x" * count, at)
        files.append((fd, layout, os.fstat(fd).st_blocks))

    def check() -> None:
        for fd, layout, blocks in files:
            st = os.fstat(fd)
            assert st.st_size == GIB + 123456
            assert st.st_blocks <= blocks * 1.05 + 64, f"{blocks} blocks -> {st.st_blocks}"
            assert all(os.pread(fd, count, at) == b"x" * count for at, count in layout)
            assert os.pread(fd, 1, GIB + 123455) == b"\0"

    return check


def nameless() -> Check:
    """Created without a name in directories of any mode; those that may be linked still may."""
    os.mkdir("open")
    os.mkdir("shut", 0o700)
    free = [_nameless(folder, 0) for folder in ("open", "shut")]
    bound = [_nameless(folder, os.O_EXCL) for folder in ("open", "shut")]
    late = deleted("once-named")
    os.chmod("shut", 0)
    again: list[Callable[[], int]] = [lambda: _nameless("open", 0), lambda: _nameless("shut", 0)]

    def check() -> None:
        assert all(os.pread(fd, 10, 0) == b"nameless" for fd in free + bound)
        for fd in (*bound, late):
            raises(errno.ENOENT, lambda fd=fd: _give_name(fd))
        for number, fd in enumerate(free):
            _give_name(fd)
            os.unlink("named")
            os.dup2(again[number](), fd)

    return check


def _nameless(folder: str, flags: int) -> int:
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | flags, 0o600)
    os.write(fd, b"nameless")
    return fd


def _give_name(fd: int) -> None:
    if libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, b"named", 0x400):
        raise OSError(ctypes.get_errno(), "linkat")


def large() -> Check:
    """Several of nearly the limit."""
    files = [deleted(f"large{n}", b"") for n in range(3)]
    for fd in files:
        os.pwrite(fd, b"end", 1000 - 3)
    return lambda: [check() for check in [unchanged(fd) for fd in files]] and None


def too_large() -> Check:
    fd = deleted("toolarge", b"x" * 1001)
    return unchanged(fd)


def on_tmpfs() -> Check:
    fd = deleted(f"{in_memory('memory')}/file", b"in memory")
    return unchanged(fd)
