"""memory_failure: early, late, the default."""

from __future__ import annotations

import pytest
from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.resources.task import memory_failure
from replant.resources.task.memory_failure import State


@pytest.mark.parametrize("policy", [0, 1, 2])
def test_round_trip(policy: int) -> None:
    with Child() as child:
        assert child.call(nr.prctl, 33, 1, policy, 0, 0).ret == 0
        assert read(memory_failure, child) == State(policy)
    assert again(memory_failure, State(policy)) == State(policy)
