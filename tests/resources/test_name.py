"""name: any bytes but NUL."""

from __future__ import annotations

import pytest
from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.resources.task import name
from replant.resources.task.name import State


@pytest.mark.parametrize("text", [b"worker", b"", b"fifteen bytes..", b") R 1 \xff\n("])
def test_round_trip(text: bytes) -> None:
    with Child() as child:
        child.call(nr.prctl, 15, text)
        assert read(name, child) == State(text)
        with open(f"/proc/{child.pid}/comm", "rb") as comm:
            assert comm.read() == text + b"\n"
    assert again(name, State(text)) == State(text)
