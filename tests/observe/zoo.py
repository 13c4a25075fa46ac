"""A tree of varied processes that tells when it stands: what sources disagree about shows here.

Run as ``python zoo.py COUNT`` in a process of its own; prints ``ready`` once all members have settled.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)


def rest() -> None:
    """Waits for good, in a system call that nothing interrupts."""
    while True:
        signal.pause()


def plain() -> None:
    os.umask(0o27)


def session() -> None:
    os.setsid()


def group() -> None:
    os.setpgid(0, 0)


def namespaces() -> None:
    LIBC.unshare(0x04000000 | 0x08000000 | 0x40000000 | 0x02000000)


def pid_namespace() -> None:
    LIBC.unshare(0x20000000)
    reading, writing = os.pipe()
    if not os.fork():
        os.setsid()
        LIBC.unshare(0x20000000)
        if not os.fork():
            os.write(writing, b".")
            rest()
        rest()
    os.read(reading, 1)


def user_namespace() -> None:
    LIBC.unshare(0x10000000)


def other_user() -> None:
    os.setgroups([7, 5, 70000])
    os.setresgid(1000, 1001, 1002)
    os.setresuid(1000, 1001, 1000)


def many_groups() -> None:
    os.setgroups(range(100, 400))


def signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGRTMAX})
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, lambda *_: None)
    LIBC.tgkill(os.getpid(), threading.get_native_id(), signal.SIGRTMAX)


def zombies() -> None:
    for code in (0, 3):
        if not (pid := os.fork()):
            os._exit(code)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def stopped() -> None:
    if not (pid := os.fork()):
        rest()
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def threads() -> None:
    def differ(number: int) -> None:
        LIBC.prctl(15, f"worker {number}".encode(), 0, 0, 0)
        LIBC.syscall(117, 0, 1000 + number, 0)
        LIBC.unshare(0x200)
        os.umask(number)
        settled.wait()
        time.sleep(3600)

    settled = threading.Barrier(4)
    for number in (1, 2, 3):
        threading.Thread(target=differ, args=(number,), daemon=True).start()
    settled.wait()


def dead_leader() -> None:
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        threading.Thread(target=lambda: (os.write(writing, b"."), time.sleep(3600))).start()
        LIBC.pthread_exit(None)
    os.read(reading, 1)
    state = ""
    while state != "Z":
        with open(f"/proc/{pid}/stat") as file:
            state = file.read().split()[2]


def deleted() -> None:
    directory = tempfile.mkdtemp(prefix="zoo ")
    path = os.path.join(directory, "a\nb")
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    os.write(fd, bytes(8192))
    KEPT.append(mmap.mmap(fd, 8192))
    KEPT.append(mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE, offset=4096))
    os.unlink(path)
    os.chdir(directory)
    os.rmdir(directory)


def memory() -> None:
    advice = (
        mmap.MADV_DONTDUMP,
        mmap.MADV_DONTFORK,
        18,
        mmap.MADV_HUGEPAGE,
        mmap.MADV_NOHUGEPAGE,
        mmap.MADV_SEQUENTIAL,
    )
    for advise in (*advice, mmap.MADV_RANDOM):
        area = mmap.mmap(-1, 1 << 16, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area.madvise(advise)
        KEPT.append(area)
    KEPT.append(mmap.mmap(-1, 8192))
    LIBC.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(KEPT[0]))), 8192)


def descriptors() -> None:
    KEPT.extend([*os.pipe(), os.memfd_create("zoo"), os.open("/dev/zero", os.O_RDWR | os.O_APPEND)])
    KEPT.extend([os.open("/proc/self/status", 0), os.open("/", os.O_PATH), os.open("/dev", os.O_DIRECTORY)])
    KEPT.extend([LIBC.eventfd(3, 0), LIBC.timerfd_create(1, 0), LIBC.inotify_init1(0o2000000), LIBC.epoll_create1(0)])
    KEPT.append(os.pidfd_open(os.getpid()))
    KEPT.extend(os.openpty())
    os.dup2(KEPT[0], 300, inheritable=False)


def sockets() -> None:
    for family, kind in ((2, 1), (2, 2), (10, 1), (10, 2), (1, 1), (1, 2), (1, 5), (16, 3), (17, 3)):
        KEPT.append(socket.socket(family, kind))
    KEPT[0].bind(("127.0.0.1", 0))
    KEPT[0].listen(5)
    KEPT.append(socket.create_connection(KEPT[0].getsockname()))
    KEPT.append(KEPT[0].accept())
    KEPT[4].bind(f"\0zoo {os.getpid()}")
    KEPT.extend(socket.socketpair())


def scheduling() -> None:
    os.nice(7)
    os.sched_setaffinity(0, {0})
    LIBC.prctl(29, 123456, 0, 0, 0)
    LIBC.personality(0x0040000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (700, 800))
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("55")


def privileges() -> None:
    LIBC.prctl(38, 1, 0, 0, 0)
    LIBC.prctl(36, 1, 0, 0, 0)
    LIBC.prctl(1, 12, 0, 0, 0)
    LIBC.prctl(24, 3, 0, 0, 0)
    LIBC.prctl(4, 0, 0, 0, 0)


def terminal() -> None:
    os.setsid()
    master, slave = os.openpty()
    os.close(slave)
    KEPT.extend([master, os.open(os.readlink(f"/proc/self/fd/{master}"), os.O_RDWR)])


def name() -> None:
    with open("/proc/self/comm", "wb") as file:
        file.write(b") \xff\n\\ (")


KEPT: list = []  # type: ignore[type-arg]
MEMBERS: list[Callable[[], None]] = [
    *(plain, session, group, namespaces, pid_namespace, user_namespace, other_user, many_groups, signals, zombies),
    *(stopped, threads, dead_leader, deleted, memory, descriptors, sockets, scheduling, privileges, terminal, name),
]


def main(count: int) -> None:
    """Starts members until there are ``count`` of them."""
    reading, writing = os.pipe()
    for number in range(count):
        if not os.fork():
            os.close(reading)
            MEMBERS[number % len(MEMBERS)]()
            os.write(writing, b".")
            rest()
    settled = 0
    while settled < count:
        settled += len(os.read(reading, 4096))
    print("ready", flush=True)
    rest()


if __name__ == "__main__":
    main(int(sys.argv[1]))
