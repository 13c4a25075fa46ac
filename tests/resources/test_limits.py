"""limits: all sixteen, also below present use; a higher hard limit is refused without the right to give it."""

from __future__ import annotations

import resource

import pytest
from task_child import Child, again, facts, make, read

from replant.abi import capability as cap
from replant.abi import x86_64 as nr
from replant.abi.resource import NAMES, RLIM_INFINITY, RLIMIT, RLIMIT_CPU, RLIMIT_NOFILE
from replant.errors import Blocker
from replant.observe import procfs
from replant.resources.task import limits
from replant.resources.task.limits import State


def ours() -> State:
    with Child() as child:
        return read(limits, child)


def test_round_trip_and_what_proc_says() -> None:
    state = ours()
    soft = tuple(min(value, 3_000_000_000 + n) for n, value in enumerate(state.soft))
    soft = (RLIM_INFINITY, *soft[1:7], 3, *soft[8:])  # 3 descriptors: fewer than are open
    state = State(soft, state.hard)
    with Child() as child:
        make(limits, state, child)
        assert read(limits, child) == state
        said = procfs.limits(child.pid)
        assert [said[n.lower()] for n in NAMES] == list(zip(state.soft, state.hard, strict=True))
    assert again(limits, state) == state


def test_names_are_those_of_the_numbers() -> None:
    known = {getattr(resource, f"RLIMIT_{n}"): n for n in NAMES if hasattr(resource, f"RLIMIT_{n}")}
    assert all(NAMES[number] == name for number, name in known.items() if number < len(NAMES))
    assert len(known) >= 10


def test_limited_cpu_time_is_refused() -> None:
    with Child() as child:
        child.call(nr.prlimit64, 0, RLIMIT_CPU, RLIMIT.pack(3600, RLIM_INFINITY), 0)
        with pytest.raises(Blocker, match="CPU time") as refused:
            read(limits, child)
        assert refused.value.pid == child.pid


def test_a_hard_limit_too_high_is_refused() -> None:
    with Child() as child:
        privileged = facts(child).status.cap_effective >> cap.CAP_SYS_RESOURCE & 1
    state = ours()
    if privileged or state.hard[RLIMIT_NOFILE] == RLIM_INFINITY:
        limits.check(state._replace(hard=(RLIM_INFINITY,) * 16), 4242)
        pytest.skip("this test runs with CAP_SYS_RESOURCE: nothing is too high")
    hard = list(state.hard)
    hard[RLIMIT_NOFILE] += 1
    with pytest.raises(Blocker, match="RLIMIT_NOFILE"):
        limits.check(state._replace(hard=tuple(hard)), 4242)
