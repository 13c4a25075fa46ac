from __future__ import annotations

import ctypes
import mmap
import os
import select
import struct
from collections.abc import Iterator

import pytest
from facts import World

from replant.abi import io_uring as abi
from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker

NOP, POLL_ADD, TIMEOUT = 0, 6, 11
SQPOLL, SINGLE_ISSUER = 1 << 1, 1 << 12
REGISTER_EVENTFD, REGISTER_BUFFERS = 4, 0


class Ring:
    """An instance as a library drives it: its own mappings, its own copies of the counters."""

    def __init__(self, fd: int, entries: int, flags: int) -> None:
        self.fd, self.entries, self.flags = fd, entries, flags
        self.ring = mmap.mmap(fd, abi.ring_size(entries, 2 * entries, flags), mmap.MAP_SHARED)
        self.requests = mmap.mmap(fd, abi.sqes_size(entries, flags), mmap.MAP_SHARED, offset=abi.OFF_SQES)
        self.array = len(self.ring) - 4 * entries

    @property
    def counters(self) -> tuple[int, ...]:
        return abi.COUNTERS.unpack_from(self.ring)

    def prepare(
        self, opcode: int, data: int, *, fd: int = -1, address: int = 0, length: int = 0, events: int = 0
    ) -> None:
        """The next request; `submit` hands it over."""
        tail = self.counters[1]
        at = tail % self.entries
        request = struct.pack("<BBHiQQIIQ24x", opcode, 0, 0, fd, 0, address, length, events, data)
        self.requests[64 * at : 64 * at + 64] = request
        if not self.flags & abi.SETUP_NO_SQARRAY:
            self.ring[self.array + 4 * at : self.array + 4 * at + 4] = struct.pack("<I", at)
        self.ring[4:8] = struct.pack("<I", tail + 1)

    def submit(self) -> int:
        head, tail, *_ = self.counters
        return syscall(x86_64.io_uring_enter, self.fd, tail - head, 0, 0, 0, 0)

    def completion(self) -> tuple[int, int]:
        """The next: the request's data, and the result."""
        _, _, head, tail = self.counters
        assert head != tail, "no completion"
        self.ring[8:12] = struct.pack("<I", head + 1)
        at = abi.CQES + 16 * (head % (2 * self.entries))
        data, result = struct.unpack_from("<Qi", self.ring, at)
        return data, result

    def nop(self, data: int) -> None:
        self.prepare(NOP, data)
        assert self.submit() == 1
        assert self.completion() == (data, 0)

    def close(self) -> None:
        self.ring.close()
        self.requests.close()


def create(world: World, entries: int = 8, flags: int = 0) -> Ring:
    params = bytearray(abi.PARAMS.pack(0, 0, flags, 0, 0, 0))
    return Ring(world.own(syscall(x86_64.io_uring_setup, entries, params)), entries, flags)


@pytest.fixture(params=[0, abi.SETUP_NO_SQARRAY | abi.SETUP_COOP_TASKRUN], ids=["plain", "flags"])
def ring(request: pytest.FixtureRequest, world: World) -> Iterator[Ring]:
    made = create(world, flags=request.param)
    yield made
    made.close()


def again(world: World, ring: Ring) -> Ring:
    files, (new,) = world.again("io_uring", ring.fd)
    world.unchanged(files, [new])
    return Ring(new, ring.entries, ring.flags)


def test_counters_go_on(world: World, ring: Ring) -> None:
    """A library that has copies of the counters goes on with them."""
    for n in range(21):
        ring.nop(n)
    new = again(world, ring)
    assert new.counters == ring.counters == (21, 21, 21, 21)
    for n in range(20):
        new.nop(100 + n)
    new.close()


def test_completions_that_nobody_has_read(world: World, ring: Ring) -> None:
    for n in range(13):
        ring.nop(n)
    for n in range(3):
        ring.prepare(NOP, 50 + n)
    ring.submit()
    new = again(world, ring)
    assert [new.completion() for _ in range(3)] == [(50, 0), (51, 0), (52, 0)]
    new.close()


def test_requests_that_nobody_has_submitted(world: World, ring: Ring) -> None:
    ring.nop(1)
    ring.prepare(NOP, 2)
    ring.prepare(NOP, 3)
    new = again(world, ring)
    assert new.submit() == 2
    assert [new.completion()[0] for _ in range(2)] == [2, 3]
    new.close()


def test_nothing_was_ever_asked(world: World, ring: Ring) -> None:
    new = again(world, ring)
    new.nop(1)
    new.close()


def refused(world: World, fd: int, why: str) -> None:
    with pytest.raises(Blocker, match=why):
        world.again("io_uring", fd)


def test_what_is_in_flight_is_refused(world: World, ring: Ring) -> None:
    reading, writing = os.pipe()
    world.own(reading)
    world.own(writing)
    ring.prepare(POLL_ADD, 1, fd=reading, events=select.POLLIN)
    ring.submit()
    refused(world, ring.fd, "not complete|waits in polls")


def test_a_timeout_is_refused(world: World, ring: Ring) -> None:
    span = mmap.mmap(-1, 4096)
    span[:16] = struct.pack("<qq", 1000, 0)
    ring.prepare(TIMEOUT, 1, address=ctypes.addressof(ctypes.c_char.from_buffer(span)), length=1)
    ring.submit()
    refused(world, ring.fd, "not complete|timeouts")


def test_what_is_registered_is_refused(world: World, ring: Ring) -> None:
    event = world.own(os.eventfd(0))
    syscall(x86_64.io_uring_register, ring.fd, REGISTER_EVENTFD, struct.pack("<i", event), 1)
    refused(world, ring.fd, "eventfd")


@pytest.mark.parametrize(("flags", "why"), [(SQPOLL, "SQPOLL"), (SINGLE_ISSUER, "0x1000")])
def test_an_instance_of_another_sort_is_refused(flags: int, why: str, world: World) -> None:
    made = create(world, flags=flags)
    refused(world, made.fd, why)
    made.close()
