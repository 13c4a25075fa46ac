"""io_flusher: seen in the flags of the thread, set with CAP_SYS_RESOURCE."""

from __future__ import annotations

import pytest
from task_child import Child, again, facts, read

from replant.abi import capability as cap
from replant.abi import x86_64 as nr
from replant.abi.call import Track
from replant.abi.prctl import PR_SET_IO_FLUSHER
from replant.resources.task import io_flusher
from replant.resources.task.io_flusher import State


def test_round_trip() -> None:
    with Child() as child:
        assert read(io_flusher, child) is None
        if not facts(child).status.cap_effective >> cap.CAP_SYS_RESOURCE & 1:
            pytest.skip("setting it needs CAP_SYS_RESOURCE")
        child.call(nr.prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0)
        assert read(io_flusher, child) == State()
    assert again(io_flusher, State()) == State()


def test_flags_and_call() -> None:
    """What can be tried without the capability."""
    with Child() as child:
        t = facts(child)
        t.stat = t.stat._replace(flags=t.stat.flags | 0x00180000)
        assert io_flusher.read(t, ()) == State()
        t.stat = t.stat._replace(flags=t.stat.flags & ~0x00100000)  # an allocation scope of the kernel, no flusher
        assert io_flusher.read(t, ()) is None
    track = Track("inside")
    io_flusher.make(State(), 1, track, None)  # type: ignore[arg-type]
    assert [(call.nr, call.args[:2]) for call in track.calls] == [(nr.prctl, (PR_SET_IO_FLUSHER, 1))]
