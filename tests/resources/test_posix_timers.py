"""posix_timers: ids with gaps, clocks, notification, remaining time, period, overrun count."""

from __future__ import annotations

from time import clock_gettime_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_child import Child, again, facts, make, read

from replant.abi import timer as abi
from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.errors import Blocker
from replant.resources.task import posix_timers
from replant.resources.task.posix_timers import State, Timer

SECOND = abi.NS
SIGALRM, SIGRT = 14, 40


def timers(tid: int) -> State:
    """One of every sort; none expires during a test."""
    value = 0xDEADBEEF00112233
    return State(
        (
            Timer(0, abi.CLOCK_REALTIME, SIGALRM, abi.SIGEV_SIGNAL, 0, 0, 500 * SECOND, 0, 0),
            Timer(3, abi.CLOCK_MONOTONIC, SIGRT, abi.SIGEV_SIGNAL, value, 0, 400 * SECOND, 7 * SECOND, 0),
            Timer(4, abi.CLOCK_BOOTTIME, SIGRT, abi.SIGEV_NONE, value, 0, 600 * SECOND, 700 * SECOND, 0),
            Timer(7, abi.CLOCK_TAI, SIGRT, abi.SIGEV_THREAD_ID, 1, tid, 300 * SECOND, 0, 0),
            Timer(8, abi.CPU_CLOCKS_OF_PROCESS[2], SIGALRM, abi.SIGEV_SIGNAL, 2, 0, 200 * SECOND, SECOND, 0),
            Timer(9, abi.CLOCK_MONOTONIC, SIGALRM, abi.SIGEV_SIGNAL, 2, 0, 0, 0, 0),
        )
    )


def test_none() -> None:
    with Child() as child:
        assert read(posix_timers, child) is None


@pytest.mark.parametrize("by_id", [True, False])
def test_round_trip(by_id: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_id and not posix_timers._keeps_ids():
        pytest.skip("this kernel has no PR_TIMER_CREATE_RESTORE_IDS (Linux 6.16)")
    monkeypatch.setattr(posix_timers, "_keeps_ids", lambda: by_id)
    with Child() as child:
        wanted = timers(child.pid)
        make(posix_timers, wanted, child)
        found = read(posix_timers, child)
        assert list(posix_timers.same(wanted, found, SECOND)) == []
        # the next timer of the program does not get a number of the past
        assert child.run([Call(nr.timer_create, 1, 0, Out(4))])[0].outs[0] == (10).to_bytes(4, "little")


def test_alarm_clock() -> None:
    state = State((Timer(1, abi.CLOCK_BOOTTIME_ALARM, SIGALRM, 0, 0, 0, 500 * SECOND, 0, 0),))
    with Child() as child:
        if child.run([Call(nr.timer_create, abi.CLOCK_BOOTTIME_ALARM, 0, Out(4))], check=False)[0].ret < 0:
            pytest.skip("no clock here can wake the machine")
    assert list(posix_timers.same(state, again(posix_timers, state), SECOND)) == []


def test_the_signal_comes_with_its_value() -> None:
    with Child() as child:
        make(posix_timers, State((Timer(5, 1, SIGRT, 0, 77, 0, SECOND // 100, 0, 0),)), child)
        mask = (1 << SIGRT - 1).to_bytes(8, "little")
        answer = child.run([Call(nr.rt_sigtimedwait, mask, Out(128), abi.timespec(5 * SECOND), 8)])[0]
        assert answer.ret == SIGRT
        info = answer.outs[0]
        assert int.from_bytes(info[16:20], "little") == 5  # si_tid: the timer's id
        assert int.from_bytes(info[24:32], "little") == 77


def test_overrun_count() -> None:
    """3 missed periods before the signal is taken; the timer goes on in step."""
    period = 2 * SECOND
    now = clock_gettime_ns(abi.CLOCK_MONOTONIC)
    mask = (1 << SIGRT - 1).to_bytes(8, "little")
    with Child() as child:
        make(posix_timers, State((Timer(2, 1, SIGRT, 0, 9, 0, 0, 0, 0),)), child)
        first = abi.itimerspec(period, now - 7 * SECOND)
        child.run([Call(nr.timer_settime, 2, abi.TIMER_ABSTIME, first, 0)])
        assert child.run([Call(nr.rt_sigtimedwait, mask, Out(128), abi.timespec(SECOND), 8)])[0].ret == SIGRT
        state = read(posix_timers, child)
    assert state.timers[0].overrun == 3
    with Child() as child:
        make(posix_timers, state, child)
        found = read(posix_timers, child)
        assert found.timers[0].overrun == 3
        assert list(posix_timers.same(state, found, SECOND)) == []
        assert child.run([Call(nr.rt_sigtimedwait, mask, Out(128), bytes(16), 8)], check=False)[0].ret < 0
        answer = child.run([Call(nr.rt_sigtimedwait, mask, Out(128), abi.timespec(2 * period), 8)])[0]
        assert answer.ret == SIGRT


@pytest.mark.parametrize("clock", [abi.CLOCK_PROCESS_CPUTIME_ID, abi.CLOCK_THREAD_CPUTIME_ID])
def test_cpu_time(clock: int) -> None:
    with Child() as child:
        child.run([Call(nr.timer_create, clock, 0, Out(4)), Call(nr.timer_settime, 0, 0, abi.itimerspec(0, SECOND), 0)])
        state = read(posix_timers, child)
    assert state.timers[0].clock == -6 + (4 if clock == abi.CLOCK_THREAD_CPUTIME_ID else 0)
    assert list(posix_timers.same(state, again(posix_timers, state), SECOND)) == []


def test_cpu_time_of_one_of_several_threads_is_refused() -> None:
    with Child() as child:
        child.run([Call(nr.timer_create, abi.CLOCK_THREAD_CPUTIME_ID, 0, Out(4))])
        stat = facts(child).stat._replace(num_threads=2)
        with pytest.raises(Blocker, match="CPU time") as refused:
            read(posix_timers, child, stat=stat)
        assert (refused.value.pid, refused.value.resource) == (child.pid, "timer 0")


def test_an_id_that_is_out_of_reach_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state = State((Timer(10**6, 1, SIGALRM, 0, 0, 0, 0, 0, 0),))
    monkeypatch.setattr(posix_timers, "_keeps_ids", lambda: False)
    with pytest.raises(Blocker, match="1000000"):
        posix_timers.check(state, 1)


def test_highest_id() -> None:
    if not posix_timers._keeps_ids():
        pytest.skip("this kernel has no PR_TIMER_CREATE_RESTORE_IDS (Linux 6.16)")
    state = State((Timer(10**6, 1, SIGALRM, 0, 0, 0, 0, 0, 0),))
    assert again(posix_timers, state) == state


@pytest.mark.parametrize(
    "change",
    [{"remaining": 0}, {"remaining": 401 * SECOND}, {"interval": 8 * SECOND}, {"signal": 41}, {"value": 1}, {"id": 5}],
)
def test_differences_are_told(change: dict[str, int]) -> None:
    timer = timers(1).timers[1]
    assert list(posix_timers.same(State((timer,)), State((timer._replace(**change),)), SECOND))


@given(st.integers(0, 2**40), st.integers(0, 2**62))
def test_times_are_packed_as_they_are(interval: int, value: int) -> None:
    assert abi.itimerspec_from(abi.itimerspec(interval, value)) == (interval, value)
    assert abi.itimerval_from(abi.itimerval(interval, value)) == (interval, value)
