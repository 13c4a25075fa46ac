"""Path-only descriptors, device nodes, procfs files and links to namespaces."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import stat
import threading

from held import Check, Twin, raises

Facts = tuple[int, int, int, int]


def _facts(fd: int) -> Facts:
    st = os.fstat(fd)
    return st.st_mode, st.st_uid, st.st_nlink, st.st_rdev


def _place(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_NOFOLLOW)


def path_only() -> Check:
    """Files, directories, sockets, FIFOs, devices and symbolic links, and what a pipe or a mapping is in procfs."""
    os.mkdir("folder")
    os.close(os.open("file", os.O_CREAT))
    os.mkfifo("fifo")
    os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.symlink("nowhere", "link")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind("socket")
    names = ("folder", "file", "fifo", "null", "link", "socket")
    files = [_place(name) for name in names]
    was = [_facts(fd) for fd in files]

    def check() -> None:
        assert [_facts(fd) for fd in files] == was
        for fd, name in zip(files, names, strict=True):
            assert os.fstat(fd).st_ino == os.lstat(name).st_ino, name
        assert os.readlink("", dir_fd=files[4]) == "nowhere"
        raises(errno.EBADF, lambda: os.read(files[1], 1))
        assert bound.fileno() >= 0

    return check


def path_only_unlinked() -> Check:
    """The same, with their names gone; a file is one inode with what has it open."""
    os.mkdir("ufolder", 0o705)
    os.mkfifo("ufifo", 0o604)
    os.mknod("uzero", 0o606 | stat.S_IFCHR, os.makedev(1, 5))
    os.symlink("no where", "ulink")
    os.mknod("usocket", 0o611 | stat.S_IFSOCK)
    whole = os.open("ufile", os.O_RDWR | os.O_CREAT)
    names = ("ufolder", "ufifo", "uzero", "ulink", "usocket", "ufile")
    files = [_place(name) for name in names]
    os.rmdir("ufolder")
    os.chown("ulink", 1234, 1234, follow_symlinks=False)
    for name in names[1:]:
        os.unlink(name)
    was = [(_facts(fd), fcntl.fcntl(fd, fcntl.F_GETFL), os.readlink(f"/proc/self/fd/{fd}")) for fd in files]

    def check() -> None:
        now = [(_facts(fd), fcntl.fcntl(fd, fcntl.F_GETFL), os.readlink(f"/proc/self/fd/{fd}")) for fd in files]
        assert now == was, f"{was} -> {now}"
        assert os.readlink("", dir_fd=files[3]) == "no where"
        assert os.path.sameopenfile(whole, files[5])
        with open(f"/proc/self/fd/{files[5]}", "wb") as file:
            file.write(b"written")
        assert os.pread(whole, 10, 0) == b"written"
        assert not [name for name in names if os.path.lexists(name)]

    return check


def path_only_of_pipes() -> Check:
    """Path-only descriptors of what has no name at all."""
    r, w = os.pipe()
    memory = os.memfd_create("memory")
    places = [os.open(f"/proc/self/fd/{fd}", os.O_PATH) for fd in (r, memory)]

    def check() -> None:
        assert os.path.sameopenfile(places[0], r) and os.path.sameopenfile(places[1], memory)
        assert w >= 0

    return check


def devices() -> Check:
    """Harmless ones, by nodes of any name, and by a node that is gone."""
    os.mknod("random-node", 0o640 | stat.S_IFCHR, os.makedev(1, 9))
    os.mknod("zero-node", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    files = [os.open(name, os.O_RDWR) for name in ("/dev/null", "/dev/zero", "/dev/full", "random-node", "zero-node")]
    os.unlink("zero-node")
    was = [_facts(fd) for fd in files]
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in files]

    def check() -> None:
        assert [_facts(fd) for fd in files] == was, f"{was} -> {[_facts(fd) for fd in files]}"
        assert [os.readlink(f"/proc/self/fd/{fd}") for fd in files] == links
        assert os.read(files[0], 1) == b"" and os.read(files[1], 2) == os.read(files[4], 2) == bytes(2)
        raises(errno.ENOSPC, lambda: os.write(files[2], b"x"))
        assert len(os.read(files[3], 5)) == 5

    return check


def procfs() -> Check:
    """Files and directories of itself, of init, of a child, and of the whole system."""
    twin = Twin(lambda: None)
    names = [
        "self/status",
        "1/comm",
        f"{twin.pid}/status",
        f"{twin.pid}/task/{twin.pid}/comm",
        "meminfo",
        "sys/kernel/ostype",
    ]
    files = [os.open(f"/proc/{name}", os.O_RDONLY) for name in names]
    folders = [os.open(f"/proc/{name}", os.O_RDONLY) for name in ("self", f"{twin.pid}/fd", "sys/kernel", "self/ns")]
    memory = os.open(f"/proc/{twin.pid}/mem", os.O_RDWR)
    heads = [os.pread(fd, 4096, 0).splitlines()[0] for fd in (files[0], *files[2:4], files[5])]

    def check() -> None:
        assert [os.pread(fd, 4096, 0).splitlines()[0] for fd in (files[0], *files[2:4], files[5])] == heads
        assert f"Pid:\t{os.getpid()}\n".encode() in os.pread(files[0], 4096, 0)
        assert f"Pid:\t{twin.pid}\n".encode() in os.pread(files[2], 4096, 0)
        assert os.pread(files[1], 100, 0) and b"MemTotal" in os.pread(files[4], 4096, 0)
        assert "status" in os.listdir(folders[0]) and "ostype" in os.listdir(folders[2])
        assert os.listdir(folders[1]) and "net" in os.listdir(folders[3])
        raises(errno.EIO, lambda: os.pread(memory, 1, 8))

    return check


def procfs_of_a_grandchild() -> Check:
    """A child holds a file of its parent and of its own child, which must exist before it can be opened."""
    parent = os.getpid()

    def below() -> None:
        inner = Twin(lambda: None)
        found.extend([os.open(f"/proc/{pid}/stat", os.O_RDONLY) for pid in (inner.pid, parent)])
        found.append(inner.pid)

    found: list[int] = []

    def seen() -> None:
        assert os.pread(found[0], 100, 0).split()[0] == str(found[2]).encode()
        assert os.pread(found[1], 100, 0).split()[0] == str(parent).encode()

    twin = Twin(below, seen)
    twin.run(0)
    return lambda: twin.run(1)


def procfs_of_the_dead() -> Check:
    """Files and directories of a process that is gone."""
    child = _sleeper()
    files = [
        os.open(f"/proc/{child}/{name}", os.O_RDONLY) for name in ("status", f"task/{child}/comm", "task", "", "ns")
    ]
    _end(child)
    copy = os.dup(files[2])
    twin = Twin(lambda: raises(errno.ESRCH, lambda: os.pread(files[0], 10, 0)))

    def check() -> None:
        twin.run()
        for fd in files[:2]:
            raises(errno.ESRCH, lambda fd=fd: os.pread(fd, 10, 0))
        for fd in (*files[2:], copy):
            assert os.listdir(fd) == []
            assert not _has(fd, "status")

    return check


def _has(folder: int, name: str) -> bool:
    """The kernel says ENOENT or ESRCH, as it comes."""
    try:
        os.stat(name, dir_fd=folder)
    except OSError:
        return False
    return True


def current_directory_of_the_dead() -> Check:
    """The current directory is that of a process that is gone."""
    child, here = _sleeper(), os.getcwd()
    os.chdir(f"/proc/{child}")
    twin = Twin(lambda: raises(errno.ENOENT, os.getcwd))
    os.chdir(here)
    _end(child)
    return twin.run


def _sleeper() -> int:
    child = os.fork()
    if child == 0:
        signal.pause()
    return child


def _end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def namespaces() -> Check:
    """Links to the own namespaces, opened as files."""
    names = ("net", "mnt", "pid", "user", "ipc", "uts", "cgroup", "time", "pid_for_children")
    files = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in names]

    def check() -> None:
        for fd, name in zip(files, names, strict=True):
            assert os.fstat(fd).st_ino == os.stat(f"/proc/self/ns/{name}").st_ino, name

    return check


def another_namespace() -> Check:
    """A network namespace that nobody is in, held by a descriptor."""
    found: list[int] = []
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else _unshare(0x40000000)
    found.append(os.open("/proc/self/ns/net", os.O_RDONLY))
    _setns(own)
    inode = os.fstat(found[0]).st_ino

    def check() -> None:
        assert os.fstat(found[0]).st_ino == inode

    return check


def _unshare(flags: int) -> None:
    from replant.abi import x86_64
    from replant.abi.libc import syscall

    syscall(x86_64.unshare, flags)


def _setns(fd: int) -> None:
    from replant.abi import x86_64
    from replant.abi.libc import syscall

    syscall(x86_64.setns, fd, 0)


def of_a_thread() -> Check:
    """A file of /proc about a thread other than the first."""
    began, found, wait = threading.Event(), list[int](), threading.Event()

    def run() -> None:
        found.append(os.open("/proc/thread-self/comm", os.O_RDONLY))
        began.set()
        wait.wait()

    threading.Thread(target=run, daemon=True).start()
    began.wait()

    def check() -> None:
        assert os.pread(found[0], 100, 0)

    return check


def a_device_with_state() -> Check:
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)

    def check() -> None:
        assert os.fstat(fd).st_rdev == os.makedev(1, 11)

    return check
