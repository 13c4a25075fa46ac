"""oom_score: written by the restorer, only where it differs from its own."""

from __future__ import annotations

import os

import pytest
from task_child import Child, again, read

from replant.abi.call import Track
from replant.observe.procfs import oom_score_adj
from replant.resources.task import oom_score
from replant.resources.task.oom_score import State


@pytest.mark.parametrize("above", [0, 1, 300])
def test_round_trip(above: int) -> None:
    value = min(oom_score_adj(os.getpid()) + above, 1000)
    with Child() as child:
        with open(f"/proc/{child.pid}/oom_score_adj", "w") as file:
            file.write(str(value))
        assert read(oom_score, child) == State(value)
    assert again(oom_score, State(value)) == State(value)


def test_what_a_stub_has_anyway_is_not_written() -> None:
    outside = Track("restorer")
    oom_score.make_outside(State(oom_score_adj(os.getpid())), 1, outside, None)  # type: ignore[arg-type]
    assert outside.calls == []
