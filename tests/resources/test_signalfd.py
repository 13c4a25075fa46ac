from __future__ import annotations

import os
import signal
import struct

from facts import World
from hypothesis import given
from hypothesis import strategies as st

from replant.abi import x86_64
from replant.abi.libc import syscall


def signalfd(mask: int, flags: int = 0) -> int:
    return syscall(x86_64.signalfd4, -1, mask.to_bytes(8, "little"), 8, flags)


@given(mask=st.integers(0, 2**64 - 1), flags=st.sampled_from([0, os.O_NONBLOCK]))
def test_the_mask(mask: int, flags: int) -> None:
    with World() as world:
        files, (new,) = world.again("signalfd", signalfd(mask, flags))
        world.unchanged(files, [new])


def test_a_pending_signal_is_delivered(world: World) -> None:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        _, (new,) = world.again("signalfd", signalfd(1 << (signal.SIGUSR1 - 1), os.O_NONBLOCK))
        signal.raise_signal(signal.SIGUSR1)
        assert struct.unpack_from("=I", os.read(new, 128))[0] == signal.SIGUSR1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
