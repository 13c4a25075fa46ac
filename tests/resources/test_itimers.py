"""itimers: all three, periodic, one-shot, and expired with the signal not yet taken."""

from __future__ import annotations

import pytest
from task_child import Child, again, facts, make, read

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.sigaction import SIGALRM
from replant.abi.timer import itimerval
from replant.resources.task import itimers
from replant.resources.task.itimers import State, Timer

SECOND = 1_000_000
ARMED = State((Timer(0, 0, 500 * SECOND), Timer(1, 3 * SECOND, 400 * SECOND), Timer(2, 7, 300 * SECOND)))
RESTING = State((Timer(0, 900 * SECOND, 0),))


def test_round_trip() -> None:
    with Child() as child:
        for which, interval, value in ARMED.timers:
            assert child.call(nr.setitimer, which, itimerval(interval, value), 0).ret == 0
        state = read(itimers, child)
    assert list(itimers.same(ARMED, state, 10**9)) == []
    assert list(itimers.same(state, again(itimers, state), 10**9)) == []


def test_none() -> None:
    with Child() as child:
        assert read(itimers, child) is None


def test_expired_and_resting() -> None:
    """Value 0, interval kept, no signal of its own; taking SIGALRM starts it again."""
    with Child() as child:
        make(itimers, RESTING, child)
        assert read(itimers, child) == RESTING
        assert facts(child).status.shared_pending == 0
        mask = (1 << SIGALRM - 1).to_bytes(8, "little")
        child.call(nr.kill, child.pid, SIGALRM)
        assert child.run([Call(nr.rt_sigtimedwait, mask, Out(128), 0, 8)])[0].ret == SIGALRM
        (timer,) = read(itimers, child).timers
        assert timer.interval == 900 * SECOND
        assert 899 * SECOND < timer.value <= 900 * SECOND


def test_the_kernel_says_so() -> None:
    """The state that the one above is made of is what a real expiry leaves."""
    with Child() as child:
        child.call(nr.setitimer, 0, itimerval(900 * SECOND, 1), 0)
        while not facts(child).status.shared_pending & 1 << SIGALRM - 1:
            child.call(nr.nanosleep, bytes(8) + (100_000).to_bytes(8, "little"), 0)
        assert read(itimers, child) == RESTING


@pytest.mark.parametrize(
    ("before", "after", "elapsed"),
    [
        (Timer(0, 0, 500), None, 400),  # gone too early
        (Timer(0, 0, 500), Timer(0, 0, 400_000), 0),  # has got longer
        (Timer(0, 5, 500), Timer(0, 6, 400), 0),  # another period
        (None, Timer(0, 5, 500), 10**9),  # out of nothing
    ],
)
def test_differences_are_told(before: Timer | None, after: Timer | None, elapsed: int) -> None:
    states = [State((timer,)) if timer else None for timer in (before, after)]
    assert len(itimers.same(*states, elapsed)) == 1


def test_running_on_is_no_difference() -> None:
    one_shot, periodic = State((Timer(0, 0, 500),)), State((Timer(0, 70, 500),))
    assert itimers.same(one_shot, None, 600_000) == []
    assert itimers.same(periodic, State((Timer(0, 70, 30),)), 10**9) == []
