"""timer_slack, in nanoseconds."""

from __future__ import annotations

from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.resources.task import timer_slack
from replant.resources.task.timer_slack import State


def test_round_trip() -> None:
    with Child() as child:
        child.call(nr.prctl, 29, 123_456)
        assert read(timer_slack, child) == State(123_456)
    assert again(timer_slack, State(123_456)) == State(123_456)
    assert again(timer_slack, State(50_000)) == State(50_000)
