"""parent_death: kept; cleared by a change of credentials, so it is ordered after them."""

from __future__ import annotations

from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.resources.task import credentials, parent_death
from replant.resources.task.parent_death import State


def test_round_trip() -> None:
    with Child() as child:
        assert read(parent_death, child) is None
        child.call(nr.prctl, 1, 12)
        assert read(parent_death, child) == State(12)
    assert again(parent_death, State(12)) == State(12)


def test_credentials_clear_it() -> None:
    with Child() as child:
        child.call(nr.prctl, 1, 12)
        child.call(nr.setfsuid, 5)
        assert read(parent_death, child) is None
    assert set(parent_death.SETS) <= set(credentials.SPOILS)
