"""cpuid: the instruction faults."""

from __future__ import annotations

from errno import ENODEV

import pytest
from task_child import Child, facts, make, read

from replant.abi import x86_64 as nr
from replant.abi.call import Answer
from replant.abi.prctl import ARCH_SET_CPUID
from replant.resources.task import cpuid
from replant.resources.task.cpuid import State


def test_round_trip() -> None:
    with Child() as child:
        assert read(cpuid, child) is None
        if child.call(nr.arch_prctl, ARCH_SET_CPUID, 1).ret == -ENODEV:
            pytest.skip("this CPU cannot make CPUID fault")
        make(cpuid, State(), child)
        assert read(cpuid, child) == State()


def test_answers() -> None:
    with Child() as child:
        read_back = [cpuid.read(facts(child), [Answer(ret)]) for ret in (0, 1, -ENODEV)]
    assert read_back == [State(), None, None]
