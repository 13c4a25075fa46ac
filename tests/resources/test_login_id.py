"""login_id: written inside, where it differs from the restorer's."""

from __future__ import annotations

import pytest
from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Slot, Track
from replant.resources.task import login_id
from replant.resources.task.login_id import State


def test_round_trip() -> None:
    with Child() as child:
        own = read(login_id, child)
        if own is None:
            pytest.skip("this kernel does not audit")
        opening = Call(nr.openat, -100, b"/proc/self/loginuid", 1)
        calls = [opening, Call(nr.write, Slot(Track(""), 0), b"1000", 4)]
        if child.run(calls, check=False)[1].ret < 0:
            pytest.skip("this kernel does not let go of a login id")
        assert read(login_id, child) == State(1000)
    assert again(login_id, State(1000)) == State(1000)
    assert again(login_id, own) == own


def test_what_a_stub_has_anyway_is_not_written() -> None:
    with Child() as child:
        own = read(login_id, child)
        if own is None:
            pytest.skip("this kernel does not audit")
        inside = Track("stub")
        login_id.make(own, child.pid, inside, None)  # type: ignore[arg-type]
    assert inside.calls == []
