"""A program that holds a file of each kind named on its command line, and checks that they work, again and again."""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

import selfcheck

from replant.abi import fcntl as abi
from replant.abi import x86_64
from replant.abi.libc import syscall

Check = Callable[[], None]
SECOND = 1_000_000_000


def regular() -> Check:
    fd = os.open("regular", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"0123456789")
    os.lseek(fd, 4, os.SEEK_SET)

    def check() -> None:
        assert os.read(fd, 2) == b"45"
        assert os.lseek(fd, -2, os.SEEK_CUR) == 4

    return check


def directory() -> Check:
    os.makedirs("directory/entry")
    fd = os.open("directory", os.O_RDONLY)
    os.mkdir("removed")
    gone = os.open("removed", os.O_RDONLY)
    os.rmdir("removed")

    def check() -> None:
        assert os.listdir(fd) == ["entry"]
        assert os.listdir(gone) == [] and not os.path.exists("removed")

    return check


def chardev() -> Check:
    fd = os.open("/dev/zero", os.O_RDONLY)

    def check() -> None:
        assert os.read(fd, 3) == bytes(3)

    return check


def path() -> Check:
    os.symlink("nowhere", "link")
    fd = os.open("link", os.O_PATH | os.O_NOFOLLOW)

    def check() -> None:
        assert os.readlink("", dir_fd=fd) == "nowhere"

    return check


def pipe() -> Check:
    r, w = os.pipe()
    os.write(w, b"data")
    again = os.open(f"/proc/self/fd/{r}", os.O_RDONLY | os.O_NONBLOCK)

    def check() -> None:
        assert os.read(r, 10) == b"data"
        try:
            os.read(again, 1)
        except BlockingIOError:
            os.write(w, b"data")
        else:
            raise AssertionError("the pipe is not empty, or has no writer")

    return check


def fifo() -> Check:
    os.mkfifo("fifo")
    r, w = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK), os.open("fifo", os.O_WRONLY)
    os.write(w, b"data")

    def check() -> None:
        assert os.read(r, 10) == b"data"
        os.write(w, b"data")

    return check


def eventfd() -> Check:
    fd = os.eventfd(3, os.EFD_SEMAPHORE)

    def check() -> None:
        assert os.eventfd_read(fd) == 1
        os.eventfd_write(fd, 1)

    return check


def eventpoll() -> Check:
    set_, event, other = syscall(x86_64.epoll_create1, 0), os.eventfd(1), os.eventfd(1)
    poll = select.epoll.fromfd(set_)
    poll.register(event, select.EPOLLIN)
    poll.register(other, select.EPOLLIN)
    copy = os.dup(other)
    os.close(other)

    def check() -> None:
        assert sorted(poll.poll(0)) == [(event, select.EPOLLIN), (other, select.EPOLLIN)], poll.poll(0)
        assert os.eventfd_read(copy) == 1
        assert poll.poll(0) == [(event, select.EPOLLIN)]
        os.eventfd_write(copy, 1)

    return check


def timerfd() -> Check:
    fd = syscall(x86_64.timerfd_create, time.CLOCK_MONOTONIC, os.O_NONBLOCK)
    syscall(x86_64.timerfd_settime, fd, 0, abi.pack_times(0, 1000 * SECOND), 0)
    late = syscall(x86_64.timerfd_create, time.CLOCK_MONOTONIC, 0)
    syscall(x86_64.timerfd_settime, late, 0, abi.pack_times(1000 * SECOND, 1), 0)

    def check() -> None:
        left = bytearray(32)
        syscall(x86_64.timerfd_gettime, fd, left)
        assert 0 < struct.unpack_from("=q", left, 16)[0] < 1000
        syscall(x86_64.timerfd_settime, fd, 0, abi.pack_times(0, 1000 * SECOND), 0)
        assert struct.unpack("=Q", os.read(late, 8)) == (1,)
        syscall(x86_64.timerfd_settime, late, 0, abi.pack_times(1000 * SECOND, 1), 0)
        assert select.select([late], [], [], 10)[0]

    assert select.select([late], [], [], 10)[0]
    return check


def signalfd() -> Check:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    fd = syscall(x86_64.signalfd4, -1, (1 << signal.SIGUSR2 - 1).to_bytes(8, "little"), 8, 0)

    def check() -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert struct.unpack_from("=I", os.read(fd, 128)) == (signal.SIGUSR2,)

    return check


def memfd() -> Check:
    fd = os.memfd_create("name", os.MFD_ALLOW_SEALING)
    os.write(fd, b"contents")
    mapping = mmap.mmap(fd, 8)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | 0x10)  # F_SEAL_FUTURE_WRITE
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)

    def check() -> None:
        assert os.pread(reader, 10, 0) == b"contents"
        mapping[:8] = b"CONTENTS"
        assert os.pread(fd, 10, 0) == b"CONTENTS"
        mapping[:8] = b"contents"
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == fcntl.F_SEAL_SHRINK | 0x10

    return check


def shm() -> Check:
    mapping = mmap.mmap(-1, 8192)
    mapping[4096:4100] = b"here"
    with open("/proc/self/maps") as maps:
        start = next(line.split("-")[0] for line in maps if "/dev/zero" in line)
    fd = os.open(f"/proc/self/map_files/{start}-{int(start, 16) + 8192:x}", os.O_RDWR)

    def check() -> None:
        assert os.pread(fd, 4, 4096) == b"here"
        mapping[:3] = b"new"
        assert os.pread(fd, 3, 0) == b"new"

    return check


def unlinked() -> Check:
    fd = os.open("unlinked", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"contents")
    os.unlink("unlinked")
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)

    def check() -> None:
        assert os.pread(reader, 10, 0) == b"contents"
        os.pwrite(fd, b"C", 0)
        assert os.pread(reader, 1, 0) == b"C"
        os.pwrite(fd, b"c", 0)
        assert os.fstat(fd).st_nlink == 0 and not os.path.exists("unlinked")

    return check


def unix() -> Check:
    here = os.path.abspath("unix")
    listener, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    listener.bind(here)
    listener.listen()
    client.connect(here)
    server, _ = listener.accept()
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.send(b"queued")
    client.send(b"question")

    def check() -> None:
        assert b.recv(10) == b"queued"
        a.send(b"queued")
        assert server.recv(10) == b"question"
        server.send(b"answer")
        assert client.recv(10) == b"answer"
        client.send(b"question")
        with socket.socket(socket.AF_UNIX) as new:
            new.connect(here)
            listener.accept()[0].close()
        for s in (a, client, server):
            assert struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0] == os.getpid()

    return check


def tcp() -> Check:
    listener = socket.create_server(("127.0.0.1", 0))

    def check() -> None:
        with socket.create_connection(listener.getsockname()) as client:
            server, _ = listener.accept()
            with server:
                client.send(b"x")
                assert server.recv(1) == b"x"

    return check


def udp() -> Check:
    server, client = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    client.connect(server.getsockname())

    def check() -> None:
        client.send(b"x")
        assert server.recv(1) == b"x"

    return check


def inotify() -> Check:
    os.mkdir("watched")
    fd = syscall(x86_64.inotify_init1, 0)
    wd = syscall(x86_64.inotify_add_watch, fd, b"watched\0", 0x100)  # IN_CREATE

    def check() -> None:
        os.close(os.open("watched/new", os.O_CREAT))
        assert struct.unpack_from("=iI", os.read(fd, 4096)) == (wd, 0x100)
        os.unlink("watched/new")

    return check


def pidfd() -> Check:
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    fd = os.pidfd_open(child)
    poll = select.epoll()
    poll.register(fd, select.EPOLLIN)

    def check() -> None:
        assert poll.poll(0) == []
        signal.pidfd_send_signal(fd, signal.SIGCONT)
        with open(f"/proc/self/fdinfo/{fd}") as info:
            assert f"Pid:\t{child}\n" in info.read()

    return check


def locks() -> Check:
    fd, whole = os.open("locked", os.O_RDWR | os.O_CREAT), os.open("whole", os.O_RDWR | os.O_CREAT)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 5)
    fcntl.flock(whole, fcntl.LOCK_EX)

    def check() -> None:
        child = os.fork()
        if child == 0:
            try:
                for lock, file in ((fcntl.lockf, fd), (fcntl.flock, os.open("whole", os.O_RDONLY))):
                    try:
                        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os._exit(1)
                    except BlockingIOError:
                        continue
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0, "a lock is gone"

    return check


if __name__ == "__main__":
    checks = [globals()[name]() for name in sys.argv[1:]]
    selfcheck.serve(lambda: [check() for check in checks] and None)
