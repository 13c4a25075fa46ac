from __future__ import annotations

import os
import select
import struct
import time

import pytest
from facts import World, differences, module_of

from replant.abi import fcntl, timerfd, x86_64
from replant.abi.libc import syscall

CLOCKS = [time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME]
MS = 1_000_000
HOUR = 3_600_000 * MS


def arm(fd: int, value: int, period: int = 0, flags: int = 0) -> int:
    syscall(x86_64.timerfd_settime, fd, flags, fcntl.pack_times(period, value), 0)
    return fd


def create(clock: int, flags: int = 0) -> int:
    return syscall(x86_64.timerfd_create, clock, flags)


def wait(fd: int) -> None:
    assert select.select([fd], [], [], 10)[0]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("period", [0, 7 * MS])
def test_time_left_and_period(world: World, clock: int, period: int) -> None:
    files, (new,) = world.again("timerfd", arm(create(clock, os.O_NONBLOCK), HOUR, period))
    world.unchanged(files, [new], elapsed=MS)


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_moment_stays_the_moment(world: World, clock: int) -> None:
    moment = time.clock_gettime_ns(clock) + HOUR
    files, (new,) = world.again("timerfd", arm(create(clock), moment, 0, timerfd.TFD_TIMER_ABSTIME))
    world.unchanged(files, [new], elapsed=MS)
    assert abs(files[0].state.moment - moment) < 100 * MS


def test_a_moment_that_passed_meanwhile_expires_at_once(world: World) -> None:
    moment = time.monotonic_ns() + 30 * MS
    files = world.read("timerfd", arm(create(time.CLOCK_MONOTONIC), moment, 0, timerfd.TFD_TIMER_ABSTIME))
    while time.monotonic_ns() < moment:
        pass
    (new,) = world.make(files)
    assert select.select([new], [], [], 0)[0]


def test_after_another_boot_what_was_left_is_left(world: World) -> None:
    moment = time.monotonic_ns() + HOUR
    (file,) = world.read("timerfd", arm(create(time.CLOCK_MONOTONIC), moment, 0, timerfd.TFD_TIMER_ABSTIME))
    (new,) = world.make([file._replace(state=file.state._replace(moment=moment + 1000 * HOUR))])
    (after,) = world.read("timerfd", new)
    assert 0 < after.state.left <= HOUR


def test_unread_ticks(world: World) -> None:
    fd = arm(create(time.CLOCK_MONOTONIC), 1, HOUR)
    wait(fd)
    files, (new,) = world.again("timerfd", fd)
    assert files[0].state.ticks == 1
    world.unchanged(files, [new], elapsed=0)
    assert struct.unpack("=Q", os.read(new, 8)) == (1,)


def test_a_period_that_went_on_unseen(world: World) -> None:
    fd = arm(create(time.CLOCK_MONOTONIC), 1, 5 * MS)
    wait(fd)
    files, (new,) = world.again("timerfd", fd)
    assert 0 < files[0].state.left <= 5 * MS
    assert files[0].state.ticks >= 1
    wait(new)
    assert struct.unpack("=Q", os.read(new, 8))[0] >= files[0].state.ticks


def test_disarmed_keeps_its_period(world: World) -> None:
    files, (new,) = world.again("timerfd", arm(create(time.CLOCK_MONOTONIC), 0, HOUR))
    assert (files[0].state.left, files[0].state.period) == (0, HOUR)
    world.unchanged(files, [new])


def test_cancel_on_set(world: World) -> None:
    flags = timerfd.TFD_TIMER_ABSTIME | timerfd.TFD_TIMER_CANCEL_ON_SET
    fd = arm(create(time.CLOCK_REALTIME), time.time_ns() + HOUR, 0, flags)
    files, (new,) = world.again("timerfd", fd)
    assert files[0].state.flags == flags
    world.unchanged(files, [new], elapsed=MS)


def test_same_tells_a_timer_that_lost_time() -> None:
    module = module_of("timerfd")
    before = module.State(1, 0, 0, HOUR, 0, 0)
    assert differences(module, before, before._replace(left=HOUR - 50 * MS), 60 * MS) == []
    for left in (0, HOUR // 2, 2 * HOUR):
        assert differences(module, before, before._replace(left=left), 60 * MS) != []
    assert differences(module, before, before._replace(ticks=3), 0) != []
