"""tid_address: what the kernel clears when the thread ends."""

from __future__ import annotations

from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.resources.task import tid_address
from replant.resources.task.tid_address import State


def test_round_trip() -> None:
    with Child() as child:
        assert child.call(nr.set_tid_address, 0x7F0012345670).ret == child.pid
        assert read(tid_address, child) == State(0x7F0012345670)
    assert again(tid_address, State(0x7F0012345670)) == State(0x7F0012345670)


def test_none() -> None:
    with Child() as child:
        child.call(nr.set_tid_address, 0)
        assert read(tid_address, child) is None
