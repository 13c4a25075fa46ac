"""Signals of descriptors: who gets them, which one, and in whose name."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable

from held import Check, Twin

from replant.abi import x86_64
from replant.abi.libc import syscall_raw

SETOWN_EX, GETOWN_EX, SETSIG, GETSIG, GETOWNER_UIDS = 15, 16, 10, 11, 17


def _asks(fd: int, kind: int, who: int, number: int) -> None:
    fcntl.fcntl(fd, SETOWN_EX, struct.pack("=ii", kind, who))
    fcntl.fcntl(fd, SETSIG, number)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)


def _owner(fd: int) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    who = struct.unpack("=ii", fcntl.fcntl(fd, GETOWN_EX, bytes(8)))
    uids = struct.unpack("=II", fcntl.fcntl(fd, GETOWNER_UIDS, bytes(8)))
    return who, fcntl.fcntl(fd, GETSIG), uids


def owners() -> Check:
    """A process, a group and a thread; set by another user; the chosen signal, or SIGIO."""
    first = signal.SIGRTMIN + 5
    signal.pthread_sigmask(signal.SIG_BLOCK, [first, first + 1, first + 2, signal.SIGIO, signal.SIGURG])
    pairs = [socket.socketpair() for _ in range(4)]
    os.seteuid(1234)
    _asks(pairs[0][0].fileno(), 1, os.getpid(), first)
    os.seteuid(0)
    _asks(pairs[1][0].fileno(), 2, os.getpgrp(), first + 1)
    _asks(pairs[2][0].fileno(), 0, threading.get_native_id(), first + 2)
    _asks(pairs[3][0].fileno(), 1, os.getpid(), 0)
    was = [_owner(a.fileno()) for a, _ in pairs]

    def check() -> None:
        now = [_owner(a.fileno()) for a, _ in pairs]
        assert now == was, f"{was} -> {now}"
        assert signal.sigtimedwait([first, first + 1, first + 2, signal.SIGIO], 0) is None, "sent by the restore"
        for (a, b), number in zip(pairs, (first, first + 1, first + 2, signal.SIGIO), strict=True):
            b.send(b"x")
            info = signal.sigtimedwait([number], 5)
            assert info is not None and info.si_signo == number, f"{info}"
            a.recv(1)
            while signal.sigtimedwait([number], 0):  # room for writing is told too
                pass

    return check


def owner_without_async() -> Check:
    """An owner can be set and nothing asked for yet; and a signal without an owner; and an owner that is gone."""
    pairs = [socket.socketpair() for _ in range(3)]
    fcntl.fcntl(pairs[0][0], SETOWN_EX, struct.pack("=ii", 1, os.getpid()))
    fcntl.fcntl(pairs[1][0], SETSIG, signal.SIGRTMIN + 9)
    child = os.fork()
    if child == 0:
        os._exit(0)
    fcntl.fcntl(pairs[2][0], SETOWN_EX, struct.pack("=ii", 1, child))
    os.waitpid(child, 0)
    was = [_owner(a.fileno()) for a, _ in pairs]
    return lambda: _same(was, [_owner(a.fileno()) for a, _ in pairs])


def _same(was: object, now: object) -> None:
    assert now == was, f"{was} -> {now}"


def owner_of_a_pipe_in_a_child() -> Check:
    """Both the description and its owner are shared: the parent set it, the child writes."""
    number = signal.SIGRTMIN + 10
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    r, w = os.pipe()
    _asks(r, 1, os.getpid(), number)
    twin = Twin(lambda: os.write(w, b"x") and None)

    def check() -> None:
        twin.run()
        assert signal.sigtimedwait([number], 5) is not None
        os.read(r, 1)

    return check


def masks_of_waiting_calls() -> Check:
    """Children wait in sigsuspend, ppoll and epoll_pwait with other masks: theirs are put back afterwards."""
    ways = [_suspend, _ppoll, _epoll_pwait]
    number = signal.SIGRTMIN + 11
    told, answer = os.pipe()
    children = [_waiter(way, number, answer) for way in ways]
    mine = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN + 11}

    def check() -> None:
        for child in children:
            _until_it_waits(child)
            os.kill(child, number)
            found = os.read(told, 1000).decode()
            assert found == f"{sorted(map(int, mine))} 1", found

    return check


def _waiter(way: Callable[[bytes], None], number: int, answer: int) -> int:
    child = os.fork()
    if child:
        return child
    caught: list[int] = []
    signal.signal(number, lambda *_: caught.append(1))
    signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGUSR2, number])
    while True:
        way((1 << signal.SIGUSR1 - 1).to_bytes(8, "little"))  # all but that one may come
        mask = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
        os.write(answer, f"{mask} {len(caught)}".encode())
        caught.clear()


def _until_it_waits(child: int) -> None:
    numbers = {str(x86_64.rt_sigsuspend), str(x86_64.ppoll), str(x86_64.epoll_pwait)}
    while True:
        with open(f"/proc/{child}/syscall") as file:
            if file.read().split()[0] in numbers:
                return
        os.sched_yield()


def _interrupted(number: int, *args: int | bytes | bytearray) -> None:
    assert syscall_raw(number, *args) == -errno.EINTR


def _suspend(mask: bytes) -> None:
    _interrupted(x86_64.rt_sigsuspend, mask, 8)


def _ppoll(mask: bytes) -> None:
    _interrupted(x86_64.ppoll, 0, 0, 0, mask, 8)


def _epoll_pwait(mask: bytes) -> None:
    with select.epoll() as poll:
        _interrupted(x86_64.epoll_pwait, poll.fileno(), bytearray(12), 1, -1, mask, 8)


def parent_death() -> Check:
    """Told of the end of its parent when that dies, and not because of the restore."""
    number = signal.SIGRTMIN + 12
    told, answer = os.pipe()
    syscall_raw(x86_64.prctl, 36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: the orphan is ours
    middle = _family(number, answer)

    def check() -> None:
        nonlocal middle
        assert not select.select([told], [], [], 0)[0], "told by the restore"
        os.kill(middle, signal.SIGKILL)
        os.waitpid(middle, 0)
        orphan = int(os.read(told, 100))
        os.waitpid(orphan, 0)
        middle = _family(number, answer)

    return check


def _family(number: int, answer: int) -> int:
    """A child with a child, which tells its pid and ends when the former dies."""
    ready, go = os.pipe()
    middle = os.fork()
    if middle:
        os.read(ready, 1)
        os.close(ready)
        os.close(go)
        return middle
    if os.fork():
        signal.pause()
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    syscall_raw(x86_64.prctl, 1, number, 0, 0, 0)  # PR_SET_PDEATHSIG
    os.write(go, b"x")
    signal.sigwait([number])
    os.write(answer, str(os.getpid()).encode())
    os._exit(0)


def pending_trap() -> Check:
    """SIGTRAP, which those who trace use, is blocked and pending."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])
    os.kill(os.getpid(), signal.SIGTRAP)

    def check() -> None:
        info = signal.sigtimedwait([signal.SIGTRAP], 0)
        assert info is not None and info.si_pid == os.getpid(), f"{info}"
        assert signal.sigtimedwait([signal.SIGTRAP], 0) is None
        os.kill(os.getpid(), signal.SIGTRAP)

    return check
