"""robust_list: the kernel tells head and length to get_robust_list."""

from __future__ import annotations

from task_child import Child, facts, make, read

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.resources.task import robust_list
from replant.resources.task.robust_list import State


def kernel_says(child: Child) -> tuple[int, int]:
    head, length = child.run([Call(nr.get_robust_list, 0, Out(8), Out(8))])[0].outs
    return int.from_bytes(head, "little"), int.from_bytes(length, "little")


def test_round_trip() -> None:
    with Child() as child:
        state = read(robust_list, child, robust_list=(0x7F0012345678, 24))
        make(robust_list, state, child)
        assert kernel_says(child) == (0x7F0012345678, 24)
        assert read(robust_list, child, robust_list=kernel_says(child)) == State(0x7F0012345678, 24)


def test_none() -> None:
    with Child() as child:
        assert robust_list.read(facts(child), ()) is None
