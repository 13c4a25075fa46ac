from __future__ import annotations

import os

import pytest
from facts import World
from hypothesis import given
from hypothesis import strategies as st

KINDS = st.sampled_from([0, os.EFD_SEMAPHORE, os.EFD_NONBLOCK, os.EFD_SEMAPHORE | os.EFD_NONBLOCK])


@given(count=st.integers(0, 2**64 - 2), flags=KINDS)
def test_counter_and_mode(count: int, flags: int) -> None:
    with World() as world:
        fd = os.eventfd(0, flags | os.EFD_CLOEXEC)
        os.eventfd_write(fd, count)
        files, (new,) = world.again("eventfd", fd)
        world.unchanged(files, [new])
        if count:
            assert os.eventfd_read(new) == (1 if flags & os.EFD_SEMAPHORE else count)


def test_an_empty_one_is_not_readable(world: World) -> None:
    _, (new,) = world.again("eventfd", os.eventfd(0, os.EFD_NONBLOCK))
    with pytest.raises(BlockingIOError):
        os.eventfd_read(new)
