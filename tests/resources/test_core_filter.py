"""core_filter: written by the restorer, only where it differs from its own."""

from __future__ import annotations

import pytest
from task_child import Child, again, read

from replant.abi.call import Track
from replant.resources.task import core_filter
from replant.resources.task.core_filter import State


@pytest.mark.parametrize("bits", [0, 0x33, 0x1FF])
def test_round_trip(bits: int) -> None:
    with Child() as child:
        with open(f"/proc/{child.pid}/coredump_filter", "w") as file:
            file.write(hex(bits))
        assert read(core_filter, child) == State(bits)
    assert again(core_filter, State(bits)) == State(bits)


def test_what_a_stub_has_anyway_is_not_written() -> None:
    with Child() as child:
        outside = Track("restorer")
        core_filter.make_outside(read(core_filter, child), child.pid, outside, None)  # type: ignore[arg-type]
    assert outside.calls == []
