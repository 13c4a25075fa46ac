"""thp: huge pages off for a process."""

from __future__ import annotations

import pytest
from task_child import Child, again, facts, read

from replant.abi import x86_64 as nr
from replant.resources.task import thp
from replant.resources.task.thp import State


@pytest.mark.parametrize("disabled", [False, True])
def test_round_trip(disabled: bool) -> None:
    with Child() as child:
        child.call(nr.prctl, 41, int(disabled), 0, 0, 0)
        assert read(thp, child) == State(disabled, 0)
        assert facts(child).status.thp_enabled is not disabled
    assert again(thp, State(disabled, 0)) == State(disabled, 0)


def test_except_advised() -> None:
    with Child() as child:
        if child.call(nr.prctl, 41, 1, 2, 0, 0).ret < 0:
            pytest.skip("this kernel has no PR_THP_DISABLE_EXCEPT_ADVISED (Linux 6.18)")
        assert read(thp, child) == State(True, 2)
    assert again(thp, State(True, 2)) == State(True, 2)
