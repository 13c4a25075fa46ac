"""memory_policy: preferred nodes, interleaving, local, with flags."""

from __future__ import annotations

import pytest
from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.resources.task import memory_policy
from replant.resources.task.memory_policy import State

MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL = 1, 2, 3, 4
MPOL_F_STATIC_NODES = 1 << 15

STATES = (
    State(0, b""),
    State(MPOL_PREFERRED, b"\x01"),
    State(MPOL_BIND | MPOL_F_STATIC_NODES, b"\x01"),
    State(MPOL_INTERLEAVE, b"\x01"),
    State(MPOL_LOCAL, b""),
)


@pytest.mark.parametrize("state", STATES, ids=lambda state: str(state.mode))
def test_round_trip(state: State) -> None:
    with Child() as child:
        nodes = (state.nodes.ljust(128, b"\0"), 1025) if state.nodes else (0, 0)
        if child.call(nr.set_mempolicy, state.mode, *nodes).ret < 0:
            pytest.skip("this kernel has no NUMA")
        assert read(memory_policy, child) == state
    assert again(memory_policy, state) == state
