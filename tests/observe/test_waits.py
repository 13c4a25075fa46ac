"""When interrupted calls were to end, seen as they are interrupted."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

from replant.observe.observer import Observer
from replant.tracee.freeze import freeze

HOUR = 3600 * 10**9


@contextmanager
def waiting(milliseconds: int) -> Iterator[tuple[int, int]]:
    """A child in epoll_wait for so long, and CLOCK_MONOTONIC in ns before it began."""
    before, child = time.monotonic_ns(), os.fork()
    if child == 0:
        select.epoll().poll(milliseconds / 1000)
        os._exit(0)
    try:
        until_asleep(child)
        yield child, before
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def until_asleep(pid: int) -> None:
    """Wait until the process sleeps in epoll_wait."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/wchan") as file:
            if "poll" in file.read():
                return
        os.sched_yield()
    raise AssertionError("it never slept")


def test_the_end_of_an_interrupted_wait(bpf: Observer) -> None:
    with waiting(3_600_000) as (child, before):
        after = time.monotonic_ns()
        watch = bpf.waits()
        assert watch
        with freeze(child, watch) as frozen:
            assert before + HOUR <= frozen.tasks[0].threads[0].end <= after + HOUR
            assert watch.ends() == {}  # it has been asked
        until_asleep(child)
        again = time.monotonic_ns()  # it was rounded up, and began a little later
        with freeze(child):
            pass
        assert before + HOUR <= watch.ends()[child] <= again + HOUR
        watch.close()
        until_asleep(child)
        with freeze(child):
            pass
        assert watch.ends() == {}


def test_a_wait_without_end_is_not_told(bpf: Observer) -> None:
    with waiting(-1000) as (child, _):
        watch = bpf.waits()
        assert watch
        with freeze(child):
            pass
        assert child not in watch.ends()
        watch.close()
