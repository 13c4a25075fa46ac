"""The POSIX timers of a process, timer_create(2): ids with their gaps, clock, notification, time left, period, overrun.

``/proc/PID/timers`` tells what a timer is, the calls inside when it expires. Ids come back through
PR_TIMER_CREATE_RESTORE_IDS (Linux 6.16); an older kernel gives out ids in ascending order, so there timers are created
and deleted until the id comes.

The overrun count (of the last signal taken) is read by timer_getoverrun(2) and set by nobody: the kernel counts it when
a signal is taken. So a timer with a count is started in the past, such that just this many periods have been missed,
and its signal is taken at once. That can be done only where the leader can take the signal, and on a clock that can be
read beforehand: a timer that notifies another thread, or runs on CPU time, begins with a count of 0.
"""

from __future__ import annotations

from errno import EAGAIN
from time import clock_gettime_ns

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.libc import syscall_raw
from replant.abi.prctl import (
    PR_TIMER_CREATE_RESTORE_IDS,
    PR_TIMER_CREATE_RESTORE_IDS_GET,
    PR_TIMER_CREATE_RESTORE_IDS_OFF,
    PR_TIMER_CREATE_RESTORE_IDS_ON,
)
from replant.abi.sigaction import SIGSET
from replant.abi.timer import (
    CLOCK_BOOTTIME,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_MONOTONIC,
    CLOCK_REALTIME,
    CLOCK_REALTIME_ALARM,
    CLOCK_TAI,
    CPU_CLOCKS_OF_PROCESS,
    CPU_CLOCKS_OF_THREAD,
    ITIMER_SIZE,
    SIGEV_NONE,
    SIGEV_SIGNAL,
    SIGEV_THREAD,
    SIGEV_THREAD_ID,
    TIMER_ABSTIME,
    itimerspec,
    itimerspec_from,
    sigevent,
    timespec,
)
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.observe.procfs import timers as proc_timers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Answer, Track
    from replant.observe.procfs import Timer as ProcTimer
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("room", "privilege", "threads")
SPOILS = ("pending",)
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_NOTIFY = {"signal": SIGEV_SIGNAL, "none": SIGEV_NONE, "thread": SIGEV_THREAD}
#: clocks whose timers go on by themselves, with one to tell their time by
_CLOCKS = {
    CLOCK_REALTIME: CLOCK_REALTIME,
    CLOCK_MONOTONIC: CLOCK_MONOTONIC,
    CLOCK_BOOTTIME: CLOCK_BOOTTIME,
    CLOCK_REALTIME_ALARM: CLOCK_REALTIME,
    CLOCK_BOOTTIME_ALARM: CLOCK_BOOTTIME,
    CLOCK_TAI: CLOCK_TAI,
}
_HIGHEST_ID = 10_000  # that is reached by creating and deleting


class Timer(Frozen):
    """``notify`` has SIGEV_ bits, ``target`` is the thread with SIGEV_THREAD_ID; nanoseconds, both 0 when disarmed."""

    id: int
    clock: int
    signal: int
    notify: int
    value: int
    target: int
    remaining: int
    interval: int
    overrun: int


class State(Frozen):
    """In ascending order of ids."""

    timers: tuple[Timer, ...]


def ask(t: TaskFacts) -> list[Call]:
    """Two calls a timer: its time, its overrun count."""
    calls = []
    for timer in _found(t.pid):
        calls.append(Call(nr.timer_gettime, timer.timer_id, Out(ITIMER_SIZE), why="POSIX timer"))
        calls.append(Call(nr.timer_getoverrun, timer.timer_id, why="POSIX timer"))
    return calls


def _found(pid: int) -> list[ProcTimer]:
    return sorted(proc_timers(pid))


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: there are no timers.

    :raises Blocker: a timer on the CPU time of one of several threads, or of another process.
    """
    if not answers:
        return None
    found = _found(t.pid)
    return State(tuple([_read(t, *row) for row in zip(found, answers[::2], answers[1::2], strict=True)]))


def _read(t: TaskFacts, found: ProcTimer, time: Answer, overrun: Answer) -> Timer:
    # the thread whose time counts is the one that created the timer, which nobody tells
    own_time = (*CPU_CLOCKS_OF_PROCESS, *(CPU_CLOCKS_OF_THREAD if t.stat.num_threads == 1 else ()))
    if found.clock not in _CLOCKS and found.clock not in own_time:
        raise Blocker(
            f"its POSIX timer {found.timer_id} runs on clock {found.clock}, CPU time of a thread or another process",
            code="timer-clock",
            pid=t.pid,
            resource=f"timer {found.timer_id}",
            hint="delete such timers (profilers make them) before the dump",
        )
    how, _, number = found.target.partition(".")
    directed = how == "tid"
    notify = _NOTIFY[found.notify] | (SIGEV_THREAD_ID if directed else 0)
    interval, remaining = itimerspec_from(time.outs[0])
    counts = found.clock in _CLOCKS and (not directed or int(number) == t.pid)
    target = int(number) if directed else 0
    times = (remaining, interval, overrun.ret if counts else 0)
    return Timer(found.timer_id, found.clock, found.signal, notify, found.value, target, *times)


def _keeps_ids() -> bool:
    """Whether this kernel creates timers with given ids."""
    return syscall_raw(nr.prctl, PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET) >= 0


def check(state: State, tid: int) -> None:
    """Look whether the ids can be had.

    :raises Blocker: without PR_TIMER_CREATE_RESTORE_IDS, if too many timers would have to be made and deleted.
    """
    highest = max([timer.id for timer in state.timers], default=0)
    if highest > _HIGHEST_ID and not _keeps_ids():
        raise Blocker(
            f"process {tid} has a POSIX timer of id {highest}, which this kernel does not give again",
            code="timer-id",
            pid=tid,
            resource=f"timer {highest}",
            hint="restore it on Linux 6.16 or newer",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Create them, all disarmed, then start them."""
    _create(state.timers, on)
    for timer in state.timers:
        if timer.overrun:
            _start_in_the_past(timer, on)
        elif timer.remaining:
            data = itimerspec(timer.interval, timer.remaining)
            on.call(nr.timer_settime, timer.id, 0, data, 0, why=f"POSIX timer {timer.id}")


def _create(timers: Sequence[Timer], on: Track) -> None:
    restore_ids = _keeps_ids()
    if restore_ids:
        on.call(nr.prctl, PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON, 0, 0, 0, why="timers by id")
    following = 0
    for timer in timers:
        if not restore_ids:
            for number in range(following, timer.id):
                on.call(nr.timer_create, CLOCK_MONOTONIC, 0, Out(4), why="a gap in the ids of POSIX timers")
                on.call(nr.timer_delete, number, why="a gap in the ids of POSIX timers")
            following = timer.id + 1
        event = sigevent(timer.value, timer.signal, timer.notify, timer.target)
        wish = timer.id.to_bytes(4, "little")
        on.call(nr.timer_create, timer.clock, event, Out(4, wish), why=f"POSIX timer {timer.id}")
    if restore_ids:
        on.call(nr.prctl, PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_OFF, 0, 0, 0, why="timers by id")


def _start_in_the_past(timer: Timer, on: Track) -> None:
    """Its next expiry is to be at ``remaining`` from now, and ``overrun`` + 1 periods lie before that."""
    now = clock_gettime_ns(_CLOCKS[timer.clock])
    # a time before the clock began cannot be told
    periods = min(timer.overrun + 1, (now + timer.remaining - 1) // timer.interval)
    first = now + timer.remaining - periods * timer.interval
    why = f"overrun count of POSIX timer {timer.id}"
    on.call(nr.timer_settime, timer.id, TIMER_ABSTIME, itimerspec(timer.interval, first), 0, why=why)
    mask = (1 << timer.signal - 1).to_bytes(SIGSET, "little")
    # the signal is queued by an interrupt, at once or a moment later
    on.call(nr.rt_sigtimedwait, mask, 0, timespec(10_000_000), SIGSET, why=why, ok=(EAGAIN,))


def same(before: State | None, after: State | None, elapsed: int) -> Iterable[str]:
    """All but the times, which are those of a program that has run on for ``elapsed`` ns."""
    old = {timer.id: timer for timer in before.timers} if before else {}
    new = {timer.id: timer for timer in after.timers} if after else {}
    for number in sorted(old.keys() | new.keys()):
        a, b = old.get(number), new.get(number)
        if a is None or b is None or not _goes_on(a, b, elapsed):
            yield f"POSIX timer {number}: {a} became {b}"


def _goes_on(a: Timer, b: Timer, elapsed: int) -> bool:
    if a._replace(remaining=0, overrun=0) != b._replace(remaining=0, overrun=0):
        return False
    if a.remaining > elapsed and a.clock in _CLOCKS:
        return 0 < b.remaining <= a.remaining
    return b.remaining <= max(a.remaining, a.interval)
