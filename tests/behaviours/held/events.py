"""Event counters, poll sets, timers and signals by descriptor."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import time

from held import Check

from replant.abi import fcntl as abi
from replant.abi import x86_64
from replant.abi.libc import syscall

SECOND = 1_000_000_000
IN, OUT, ET = select.EPOLLIN, select.EPOLLOUT, select.EPOLLET
ONESHOT, EXCLUSIVE = select.EPOLLONESHOT, select.EPOLLEXCLUSIVE


def counters() -> Check:
    """Value, semaphore mode, readiness; a signal descriptor's mask."""
    plain, semaphore, full = os.eventfd(7), os.eventfd(2, os.EFD_SEMAPHORE), os.eventfd(0, os.EFD_NONBLOCK)
    os.eventfd_write(full, 2**64 - 2)
    wanted = signal.SIGRTMIN + 1
    signal.pthread_sigmask(signal.SIG_BLOCK, [wanted])
    told = syscall(x86_64.signalfd4, -1, (1 << wanted - 1).to_bytes(8, "little"), 8, 0)
    poll = select.poll()
    for fd in (plain, semaphore, full, told):
        poll.register(fd, select.POLLIN | select.POLLOUT)

    def check() -> None:
        both = select.POLLIN | select.POLLOUT
        assert dict(poll.poll(0)) == {plain: both, semaphore: both, full: select.POLLIN}, f"{poll.poll(0)}"
        assert os.eventfd_read(plain) == 7 and os.eventfd_read(semaphore) == 1
        os.eventfd_write(plain, 7)
        os.eventfd_write(semaphore, 1)
        os.kill(os.getpid(), wanted)
        assert (told, select.POLLIN) in poll.poll(0)
        assert struct.unpack_from("=I", os.read(told, 128)) == (wanted,)

    return check


class Set:
    """A poll set with 64 bits of user data for each target."""

    def __init__(self) -> None:
        self.fd = syscall(x86_64.epoll_create1, 0)

    def add(self, fd: int, events: int, data: int, how: int = 1) -> None:
        syscall(x86_64.epoll_ctl, self.fd, how, fd, struct.pack("=IQ", events & 0xFFFFFFFF, data))

    def ready(self) -> dict[int, int]:
        room = bytearray(12 * 64)
        count = syscall(x86_64.epoll_wait, self.fd, room, 64, 0)
        return {data: events for events, data in struct.iter_unpack("=IQ", room[: 12 * count])}


def targets() -> Check:
    """Many, with any events and user data; another poll set among them."""
    outer, inner = Set(), Set()
    counters = [os.eventfd(n % 2) for n in range(40)]
    for n, fd in enumerate(counters):
        inner.add(fd, IN | (ET if n % 3 == 0 else 0), (n << 40) + 5)
    outer.add(inner.fd, IN, 2**64 - 1)
    level = {(n << 40) + 5: IN for n in range(40) if n % 2 and n % 3}
    inner.ready()

    def check() -> None:
        found = {data: events for data, events in inner.ready().items() if data in level}
        assert found == level, f"{found}"
        assert outer.ready() == {2**64 - 1: IN}

    return check


def closed_targets() -> Check:
    """A target whose descriptor is closed while a copy lives on, and different files under one number."""
    set_ = Set()
    copies = []
    number = os.eventfd(1)
    for data in range(3):
        fresh = os.eventfd(1)
        os.dup2(fresh, number)
        os.close(fresh)
        set_.add(number, IN, data)
        copies.append(os.dup(number))
    last = os.eventfd(1)
    set_.add(last, IN, 9)
    copies.append(os.dup(last))
    os.close(last)

    def check() -> None:
        assert set_.ready() == {0: IN, 1: IN, 2: IN, 9: IN}, f"{set_.ready()}"
        for data, copy in zip((0, 1, 2, 9), copies, strict=True):
            os.eventfd_read(copy)
            assert data not in set_.ready()
            os.eventfd_write(copy, 1)

    return check


def disarmed() -> Check:
    """After one shot: targets that are ready stay silent, and so do those that are not and become so."""
    set_ = Set()
    ready, idle, (r, w) = os.eventfd(1), os.eventfd(1), os.pipe()
    timer = syscall(x86_64.timerfd_create, time.CLOCK_MONOTONIC, 0)
    inner = Set()
    wake = os.eventfd(1)
    inner.add(wake, IN, 1)
    os.write(w, b"x")
    syscall(x86_64.timerfd_settime, timer, 0, abi.pack_times(0, 1), 0)
    select.select([timer], [], [])
    for data, fd in enumerate((ready, idle, r, timer, inner.fd)):
        set_.add(fd, IN | ONESHOT, data)
    assert len(set_.ready()) == 5
    os.read(r, 1)
    os.eventfd_read(idle)
    os.eventfd_read(wake)
    os.read(timer, 8)
    # timer is armed for later
    syscall(x86_64.timerfd_settime, timer, 0, abi.pack_times(0, 1000 * SECOND), 0)

    def check() -> None:
        assert set_.ready() == {}, "armed again"
        os.write(w, b"y")
        os.eventfd_write(idle, 1)
        os.eventfd_write(wake, 1)
        assert set_.ready() == {}, "armed again"
        assert os.read(r, 2) == b"y" and os.eventfd_read(idle) == 1 and os.eventfd_read(wake) == 1
        set_.add(ready, IN | ONESHOT, 77, 3)
        assert set_.ready() == {77: IN} and set_.ready() == {}

    return check


def disarmed_listener() -> Check:
    """A listening socket whose entry is disarmed: only a client could make it ready."""
    set_, listener = Set(), socket.create_server(("127.0.0.1", 0))
    set_.add(listener.fileno(), IN | ONESHOT, 1)
    with socket.create_connection(listener.getsockname()):
        assert set_.ready() == {1: IN}
        listener.accept()[0].close()

    def check() -> None:
        with socket.create_connection(listener.getsockname()):
            assert set_.ready() == {}
            listener.accept()[0].close()

    return check


def timers() -> Check:
    """On all clocks: time left, period, unread ticks, and cancelling when the clock is set."""
    checks = [_timer(clock) for clock in (0, 1, 7, 8, 9)]  # the last two wake the machine, where it can be woken
    return lambda: [check() for check in checks] and None


def _timer(clock: int) -> Check:
    far = syscall(x86_64.timerfd_create, clock, os.O_NONBLOCK)
    moment = syscall(x86_64.timerfd_create, clock, os.O_NONBLOCK)
    ticked = syscall(x86_64.timerfd_create, clock, os.O_NONBLOCK)
    never = syscall(x86_64.timerfd_create, clock, os.O_NONBLOCK)
    syscall(x86_64.timerfd_settime, far, 0, abi.pack_times(2000 * SECOND, 1000 * SECOND), 0)
    base = {8: 0, 9: 7}.get(clock, clock)
    flags = 3 if base == 0 else 1  # TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET
    at = time.clock_gettime_ns(base) + 500 * SECOND
    syscall(x86_64.timerfd_settime, moment, flags, abi.pack_times(0, at), 0)

    def tick() -> None:
        syscall(x86_64.timerfd_settime, ticked, 0, abi.pack_times(3000 * SECOND, 1), 0)
        select.select([ticked], [], [])

    tick()

    def check() -> None:
        period, left = _left(far)
        assert period == 2000 * SECOND and 600 * SECOND < left <= 1000 * SECOND, f"{clock}: {left}"
        assert abs(time.clock_gettime_ns(base) + _left(moment)[1] - at) < SECOND // 10
        with open(f"/proc/self/fdinfo/{moment}") as info:
            assert f"settime flags: 0{flags}\n" in info.read()
        assert struct.unpack("=Q", os.read(ticked, 8)) == (1,) and _left(ticked)[0] == 3000 * SECOND
        assert _left(never) == (0, 0)
        tick()
        assert _not_ready(never)

    return check


def _left(fd: int) -> tuple[int, int]:
    room = bytearray(32)
    syscall(x86_64.timerfd_gettime, fd, room)
    a, b, c, d = struct.unpack("=4q", room)
    return a * SECOND + b, c * SECOND + d


def _not_ready(fd: int) -> bool:
    try:
        os.read(fd, 8)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
