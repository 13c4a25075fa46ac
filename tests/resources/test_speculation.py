"""speculation: controls that are a thread's own; on a CPU that leaves none, the codec and the refusal."""

from __future__ import annotations

from typing import Any

import pytest
from task_child import Child, again, facts, read

from replant.abi.call import Answer, Track
from replant.errors import Blocker
from replant.resources.task import speculation
from replant.resources.task.speculation import Control, State


def test_round_trip() -> None:
    with Child() as child:
        state = read(speculation, child)
    if state is None:
        pytest.skip("this CPU or kernel leaves threads no choice")
    for control in state.controls:
        wanted = State((control._replace(value=4),))
        assert control._replace(value=4) in again(speculation, wanted).controls


def test_read() -> None:
    with Child() as child:
        t = facts(child)
        assert speculation.read(t, [Answer(3), Answer(2), Answer(-19)]) == State((Control(0, 2),))
        assert speculation.read(t, [Answer(0), Answer(9), Answer(5)]) == State((Control(1, 8), Control(2, 4)))
        assert speculation.read(t, [Answer(0), Answer(2), Answer(8)]) is None


@pytest.mark.parametrize(("host", "refused", "calls"), [(0, False, 0), (2, True, 0), (3, False, 1), (8, False, 0)])
def test_hosts(monkeypatch: pytest.MonkeyPatch, host: int, refused: bool, calls: int) -> None:
    def answer(*_: Any) -> int:
        return host

    monkeypatch.setattr(speculation, "syscall_raw", answer)
    state, track = State((Control(0, 4),)), Track("inside")
    if refused:
        with pytest.raises(Blocker, match="store bypass"):
            speculation.check(state, 1)
    else:
        speculation.check(state, 1)
    speculation.make(state, 1, track, None)  # type: ignore[arg-type]
    assert len(track.calls) == calls
