from __future__ import annotations

import os
import select

import pytest
from facts import World
from hypothesis import given
from hypothesis import strategies as st

from replant.abi import epoll as abi
from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker
from replant.model.tree import File

ADD, MOD = 1, 3


def create() -> int:
    return syscall(x86_64.epoll_create1, 0)


def control(ep: int, op: int, fd: int, events: int, data: int) -> None:
    syscall(x86_64.epoll_ctl, ep, op, fd, abi.pack_event(events, data))


def wait(ep: int) -> list[tuple[int, int]]:
    """Data and events of what is ready."""
    buffer = bytearray(12 * 64)
    count = syscall(x86_64.epoll_wait, ep, buffer, 64, 0)
    rows = [buffer[12 * i : 12 * i + 12] for i in range(count)]
    return sorted((int.from_bytes(row[4:], "little"), int.from_bytes(row[:4], "little")) for row in rows)


def replant(world: World, ep: int, *others: int) -> tuple[File, int]:
    """Read and make again, while the other descriptors stay as they are."""
    (file,) = world.read("eventpoll", ep, others=others)
    os.close(ep)
    (new,) = world.make([file])
    world.made.update({number: fd for fd, number in world.numbers.items() if fd != ep})
    world.attach(file, new)
    (after,) = world.read("eventpoll", new, others=others)
    assert after.state == file.state
    return file, new


@given(data=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8))
def test_events_and_user_data(data: list[int]) -> None:
    with World() as world:
        ep = create()
        events = [world.own(os.eventfd(i % 2)) for i in range(len(data))]
        for fd, value in zip(events, data, strict=True):
            control(ep, ADD, fd, select.EPOLLIN, value)
        expected = wait(ep)
        _, ep = replant(world, ep, *events)
        assert wait(ep) == expected


@pytest.mark.parametrize("flag", [select.EPOLLET, select.EPOLLONESHOT, select.EPOLLEXCLUSIVE])
def test_flags(world: World, flag: int) -> None:
    ep, event = create(), world.own(os.eventfd(1))
    control(ep, ADD, event, select.EPOLLIN | flag, 5)
    _, ep = replant(world, ep, event)
    assert wait(ep) == [(5, select.EPOLLIN)]
    assert wait(ep) == ([(5, select.EPOLLIN)] if flag == select.EPOLLEXCLUSIVE else [])


def test_disarmed_stays_disarmed(world: World) -> None:
    ep, event, other = create(), world.own(os.eventfd(1)), world.own(os.eventfd(1))
    control(ep, ADD, event, select.EPOLLIN | select.EPOLLONESHOT, 5)
    assert wait(ep)
    control(ep, ADD, other, select.EPOLLIN, 6)
    file, ep = replant(world, ep, event, other)
    assert file.state.targets[0].events == select.EPOLLONESHOT
    assert wait(ep) == [(6, select.EPOLLIN)]
    control(ep, MOD, event, select.EPOLLIN | select.EPOLLONESHOT, 7)
    assert wait(ep) == [(6, select.EPOLLIN), (7, select.EPOLLIN)]


def test_disarmed_and_never_ready_is_refused(world: World) -> None:
    ep, (r, w) = world.own(create()), map(world.own, os.pipe())
    control(ep, ADD, r, select.EPOLLIN | select.EPOLLONESHOT, 5)
    os.write(w, b"x")
    assert wait(ep)
    os.read(r, 1)
    with pytest.raises(Blocker, match="one-shot"):
        world.read("eventpoll", ep, others=[r, w])


@pytest.mark.parametrize("taken", [False, True])
def test_a_number_closed_while_the_file_lives_on(world: World, taken: bool) -> None:
    ep, event = create(), os.eventfd(1)
    copy = world.own(os.dup(event))
    control(ep, ADD, event, select.EPOLLIN, 5)
    os.close(event)
    others = [copy]
    if taken:
        reused = os.eventfd(0)
        os.dup2(reused, event)
        if reused != event:
            os.close(reused)
        control(ep, ADD, event, select.EPOLLIN, 6)
        others.append(world.own(event))
    file, ep = replant(world, ep, *others)
    assert [t.elsewhere for t in file.state.targets] == [not taken] if not taken else [False, True]
    assert wait(ep) == [(5, select.EPOLLIN)]
    if taken:
        os.eventfd_write(event, 1)
        assert wait(ep) == [(5, select.EPOLLIN), (6, select.EPOLLIN)]
    else:
        with pytest.raises(OSError):
            os.fstat(event)


def test_a_set_in_a_set(world: World) -> None:
    outer, inner, event = create(), world.own(create()), os.eventfd(1)
    control(inner, ADD, world.own(event), select.EPOLLIN, 1)
    control(outer, ADD, inner, select.EPOLLIN, 2)
    _, outer = replant(world, outer, inner, event)
    assert wait(outer) == [(2, select.EPOLLIN)]


def test_a_target_outside_of_the_tree_is_refused(world: World) -> None:
    ep, event = world.own(create()), world.own(os.eventfd(1))
    control(ep, ADD, event, select.EPOLLIN, 1)
    with pytest.raises(Blocker, match="no descriptor of the tree"):
        world.read("eventpoll", ep)
