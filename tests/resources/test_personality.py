"""personality: no address randomisation, READ_IMPLIES_EXEC, …"""

from __future__ import annotations

import pytest
from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.resources.task import personality
from replant.resources.task.personality import State


@pytest.mark.parametrize("persona", [0, 0x0040000, 0x0400000 | 0x0020000])
def test_round_trip(persona: int) -> None:
    with Child() as child:
        child.call(nr.personality, persona)
        assert read(personality, child) == State(persona)
        with open(f"/proc/{child.pid}/personality") as file:
            assert int(file.read(), 16) == persona
    assert again(personality, State(persona)) == State(persona)
