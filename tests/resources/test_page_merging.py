"""page_merging: on for a whole process."""

from __future__ import annotations

import pytest
from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.abi.prctl import PR_SET_MEMORY_MERGE
from replant.resources.task import page_merging
from replant.resources.task.page_merging import State


@pytest.mark.parametrize("on", [False, True])
def test_round_trip(on: bool) -> None:
    with Child() as child:
        if child.call(nr.prctl, PR_SET_MEMORY_MERGE, int(on), 0, 0, 0).ret < 0:
            pytest.skip("this kernel does not merge pages")
        assert read(page_merging, child) == State(on)
    assert again(page_merging, State(on)) == State(on)
