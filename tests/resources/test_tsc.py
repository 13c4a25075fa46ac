"""tsc: rdtsc forbidden."""

from __future__ import annotations

from task_child import Child, make, read

from replant.resources.task import tsc
from replant.resources.task.tsc import State


def test_round_trip() -> None:
    with Child() as child:
        assert read(tsc, child) is None
        make(tsc, State(), child)
        assert read(tsc, child) == State()
