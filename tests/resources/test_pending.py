"""pending: to the thread and to the process, with siginfo, several of a real-time signal in order."""

from __future__ import annotations

import struct

import pytest
from task_child import Child, facts, make

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.sigaction import SI_TIMER, siginfo, siginfo_head
from replant.errors import Blocker, ImageError
from replant.resources.task import pending
from replant.resources.task.pending import State

SI_QUEUE = -1


def info(signal: int, value: int, code: int = SI_QUEUE) -> bytes:
    return struct.pack("<iiixxxxiiQ", signal, 0, code, 4321, 77, value).ljust(128, b"\0")


def taken(child: Child, signals: int) -> list[bytes]:
    """What is pending inside, in the order in which it is taken."""
    mask, found = signals.to_bytes(8, "little"), []
    while True:
        answer = child.run([Call(nr.rt_sigtimedwait, mask, Out(128), bytes(16), 8)], check=False)[0]
        if answer.ret < 0:
            return found
        found.append(answer.outs[0])


def test_order_and_siginfo() -> None:
    """The kernel takes those of the thread first, lower numbers first, and keeps the order of one number."""
    thread = (info(5, 1, code=0x80), info(34, 1), info(34, 2), info(34, 3))
    process = (info(10, 7, code=0), info(34, 4), info(34, 5), info(40, 8, code=SI_TIMER))
    with Child() as child:
        make(pending, State(thread, process), child)
        status = facts(child).status
        assert (status.sig_pending, status.shared_pending) == (1 << 4 | 1 << 33, 1 << 9 | 1 << 33 | 1 << 39)
        assert taken(child, 2**64 - 1) == [*thread, *process]


def test_read_gives_what_the_tracer_saw() -> None:
    with Child() as child:
        t = facts(child, pending_thread=[info(34, 1)], pending_process=[info(35, 2)])
        assert pending.read(t, ()) == State((info(34, 1),), (info(35, 2),))
        t.leader = False
        assert pending.read(t, ()) == State((info(34, 1),), ())
        assert pending.read(facts(child), ()) is None


def test_without_siginfo() -> None:
    """What is in the mask only is queued the way the kernel would make it up."""
    with Child() as child, Child() as fresh:
        child.call(nr.kill, child.pid, 12)
        state = pending.read(facts(child), ())
        assert state == State((), (siginfo(12),))
        make(pending, state, fresh)
        assert [siginfo_head(i) for i in taken(fresh, 2**64 - 1)] == [(12, 0, 0)]


@pytest.mark.parametrize(("signal", "name"), [(9, "SIGKILL"), (19, "SIGSTOP")])
def test_refused(signal: int, name: str) -> None:
    with Child() as child, pytest.raises(Blocker, match=name) as refused:
        pending.read(facts(child, pending_process=[info(signal, 0)]), ())
    assert refused.value.pid == child.pid


def test_a_second_stop_waits_in_a_stopped_process() -> None:
    """It is told apart, and not queued in a stub, which would stop at once."""
    with Child() as child, Child() as fresh:
        stops = [info(19, 0, code=0)]
        t = facts(child, pending_thread=stops, pending_process=[info(19, 0, code=0), info(34, 1)], stopped=True)
        state = pending.read(t, ())
        assert pending.second_stops(state, child.pid) == [child.pid, 0]
        assert pending.second_stops(State((info(20, 0),), (info(34, 1),)), child.pid) == []
        make(pending, state, fresh)
        assert [siginfo_head(i)[0] for i in taken(fresh, 2**64 - 1)] == [34]


def test_differences_are_told() -> None:
    before = State((), (info(34, 1), info(34, 2), info(34, 3)))
    taken_and_sent = State((), (info(34, 2), info(34, 3), info(34, 4)))
    swapped = State((), (info(34, 3), info(34, 2)))
    assert pending.same(before, taken_and_sent, 10**9) == []
    assert pending.same(before, None, 10**9) == []
    assert len(pending.same(before, swapped, 10**9)) == 1


def test_a_damaged_image() -> None:
    with pytest.raises(ImageError, match="siginfo"):
        pending.check(State((b"short",), ()), 1)
