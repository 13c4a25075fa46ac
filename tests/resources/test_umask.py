"""umask: read from outside, set inside."""

from __future__ import annotations

import pytest
from task_child import Child, again, facts, read

from replant.abi import x86_64 as nr
from replant.errors import Blocker
from replant.resources.task import umask
from replant.resources.task.umask import State


@pytest.mark.parametrize("mask", [0, 0o77, 0o777])
def test_round_trip(mask: int) -> None:
    with Child() as child:
        child.call(nr.umask, mask)
        assert read(umask, child) == State(mask)
    assert again(umask, State(mask)) == State(mask)


def test_refused_when_proc_does_not_tell() -> None:
    with Child() as child:
        t = facts(child)
        t.status = t.status._replace(umask=None)
        with pytest.raises(Blocker, match="umask"):
            umask.read(t, ())
