"""scheduling: policies, nice, affinity, IO priority; set and read in a real process."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_child import Child, again, facts, make, read

from replant.abi import sched
from replant.abi import x86_64 as nr
from replant.abi.sched import SCHED_ATTR
from replant.resources.task import scheduling
from replant.resources.task.scheduling import State

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="raises priorities: needs root")

FAIR = State(0, 0, 0, 0, 0, 0, 0, 0, 0, b"", 0)
MS = 1_000_000

SHAPES = {
    "fair": {},
    "nice": {"nice": 7},
    "less nice": {"nice": -11},
    "batch, reset on fork": {"policy": sched.SCHED_BATCH, "flags": 1, "nice": 3},
    "idle": {"policy": sched.SCHED_IDLE, "nice": 5},
    "fifo": {"policy": sched.SCHED_FIFO, "priority": 42, "nice": 4},
    "round robin, reset on fork": {"policy": sched.SCHED_RR, "priority": 1, "flags": 1},
    "one CPU": {"cpus": b"\x01"},
    "real-time IO": {"ioprio": sched.IOPRIO_CLASS_RT << sched.IOPRIO_CLASS_SHIFT | 3},
    "idle IO": {"ioprio": sched.IOPRIO_CLASS_IDLE << sched.IOPRIO_CLASS_SHIFT},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip(shape: str) -> None:
    state = FAIR._replace(**SHAPES[shape])
    found = again(scheduling, state)
    # a kernel with clamps says 0 and 1024 where one without says 0 and 0; before 6.12 none told the slice of a thread
    assert found._replace(util_max=0, runtime=0) == state
    assert again(scheduling, found) == found


def test_what_others_see() -> None:
    with Child() as child:
        make(scheduling, FAIR._replace(policy=sched.SCHED_FIFO, priority=42, nice=4, cpus=b"\x01"), child)
        assert os.sched_getscheduler(child.pid) == os.SCHED_FIFO
        assert os.sched_getparam(child.pid).sched_priority == 42
        assert os.sched_getaffinity(child.pid) == {0}
        assert facts(child).stat.nice == 4


def test_a_slice_of_its_own() -> None:
    with Child() as child:
        attr = SCHED_ATTR.pack(SCHED_ATTR.size, 0, 0, 0, 0, 20 * MS, 0, 0, 0, 0)
        assert child.call(nr.sched_setattr, 0, attr, 0).ret == 0
        state = read(scheduling, child)
    if state.runtime == 0:
        pytest.skip("this kernel has no slices that a thread may choose (Linux 6.12)")
    assert state.runtime == 20 * MS
    assert again(scheduling, state) == state


def test_deadline() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    state = FAIR._replace(nice=own, policy=sched.SCHED_DEADLINE, runtime=MS, deadline=50 * MS, period=100 * MS)
    with Child() as child:
        attr = SCHED_ATTR.pack(SCHED_ATTR.size, sched.SCHED_DEADLINE, 0, 0, 0, MS, 50 * MS, 100 * MS, 0, 0)
        if child.call(nr.sched_setattr, 0, attr, 0).ret < 0:
            pytest.skip("no room for a deadline task here")
        assert read(scheduling, child)._replace(util_max=0) == state
    assert again(scheduling, state)._replace(util_max=0) == state


def test_all_cpus_is_no_matter_of_their_number() -> None:
    with Child() as child:
        t = facts(child)
        online = t.status.cpus_allowed
        answers = child.run(scheduling.ASKS)
        t.status = t.status._replace(cpus_allowed=online | online << 40)
        assert scheduling.read(t, answers).cpus == b""


@given(st.integers(0, 2**32 - 1), st.integers(-20, 19), st.integers(0, 2**64 - 1), st.integers(0, 1024))
def test_attr_is_packed_as_it_is(policy: int, nice: int, runtime: int, clamp: int) -> None:
    state = FAIR._replace(policy=policy, nice=nice, runtime=runtime, util_min=clamp, util_max=1024)
    values = SCHED_ATTR.unpack(scheduling._attr(state))
    assert values[1] == policy
    assert values[3:6] == (nice, 0, runtime)
    assert (values[2] & scheduling._CLAMPS != 0) == (clamp != 0)
