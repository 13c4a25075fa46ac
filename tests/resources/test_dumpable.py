"""dumpable: kept, set after the credentials have spoiled it."""

from __future__ import annotations

import os

import pytest
from task_child import Child, again, make, read

from replant.abi import x86_64 as nr
from replant.errors import Blocker
from replant.resources.task import credentials, dumpable
from replant.resources.task.dumpable import State


@pytest.mark.parametrize("value", [0, 1])
def test_round_trip(value: int) -> None:
    with Child() as child:
        child.call(nr.prctl, 4, value)
        assert read(dumpable, child) == State(value)
    assert again(dumpable, State(value)) == State(value)


@pytest.mark.skipif(os.geteuid() != 0, reason="changes user ids: needs root")
def test_credentials_spoil_it() -> None:
    with open("/proc/sys/fs/suid_dumpable") as file:
        rule = int(file.read())
    with Child() as child:
        make(credentials, read(credentials, child), child)
        assert read(dumpable, child) == State(rule)
        make(dumpable, State(1), child)
        assert read(dumpable, child) == State(1)
    assert set(dumpable.SETS) <= set(credentials.SPOILS)


def test_by_root_only_depends_on_the_host() -> None:
    with open("/proc/sys/fs/suid_dumpable") as file:
        given = int(file.read()) == 2
    if given:
        dumpable.check(State(2), 1)
    else:
        with pytest.raises(Blocker, match="suid_dumpable"):
            dumpable.check(State(2), 1)
