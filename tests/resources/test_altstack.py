"""altstack: address, size, flags; also asked and set from a thread that is on it."""

from __future__ import annotations

import struct

import pytest
from task_child import Child, again, facts, make, read

from replant.abi import x86_64 as nr
from replant.abi.call import Answer
from replant.abi.sigaction import SS_AUTODISARM, SS_ONSTACK, STACK
from replant.resources.task import altstack


@pytest.mark.parametrize("autodisarm", [False, True])
def test_round_trip(autodisarm: bool) -> None:
    state = altstack.State(0x10000, 0x8000, autodisarm)
    with Child() as child:
        flags = SS_AUTODISARM if autodisarm else 0
        assert child.call(nr.sigaltstack, struct.pack("<QI4xQ", 0x10000, flags, 0x8000), 0).ret == 0
        assert read(altstack, child) == state
    assert again(altstack, state) == state


def test_none() -> None:
    with Child() as child:
        assert read(altstack, child) is None


def test_in_use() -> None:
    answer = Answer(0, [STACK.pack(0x10000, SS_ONSTACK, 0x8000)])
    with Child() as child:
        state = altstack.read(facts(child), [answer])
        assert state == altstack.State(0x10000, 0x8000, False)
        make(altstack, state, child)
        assert read(altstack, child) == state
