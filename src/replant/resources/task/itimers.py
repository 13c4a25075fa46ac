"""The three interval timers of a process, setitimer(2).

A real-time timer with an interval rests from its expiry until SIGALRM is taken: getitimer then says value 0 and the
interval. (It rests for good where SIGALRM is ignored.) Setting value 0 would disarm it, so it is set to expire at once,
and what it sends is discarded: the signal that belongs there is put back, if there was one, with all others.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.sigaction import DEFAULT, SIG_IGN, SIGACTION, SIGALRM, SIGSET
from replant.abi.timer import (
    ITIMER_PROF,
    ITIMER_REAL,
    ITIMER_SIZE,
    ITIMER_VIRTUAL,
    itimerval,
    itimerval_from,
    timespec,
)
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
# filling memory takes CPU time, which would count; and SIGALRM is ignored for a moment, which no thread may see
USES = ("memory", "alone")
SPOILS = ("dispositions", "pending")
SETS: tuple[str, ...] = ()

_NAMES = {ITIMER_REAL: "real", ITIMER_VIRTUAL: "virtual", ITIMER_PROF: "profiling"}
ASKS = tuple([Call(nr.getitimer, which, Out(ITIMER_SIZE), why="interval timer") for which in _NAMES])


class Timer(Frozen):
    """``which`` as in setitimer(2); microseconds. ``value`` 0: expired, its signal not yet taken."""

    which: int
    interval: int
    value: int


class State(Frozen):
    """The timers that are armed, or rest until their signal is taken."""

    timers: tuple[Timer, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: none is armed."""
    timers = [Timer(which, *itimerval_from(a.outs[0])) for which, a in zip(_NAMES, answers, strict=True)]
    armed = tuple([timer for timer in timers if timer.interval or timer.value])
    return State(armed) if armed else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Go on with the time that was left."""
    for timer in state.timers:
        if timer.which == ITIMER_REAL and timer.value == 0:
            _rest(timer, on)
        else:
            data = itimerval(timer.interval, timer.value)
            on.call(nr.setitimer, timer.which, data, 0, why=f"{_NAMES[timer.which]} interval timer")


def _rest(timer: Timer, on: Track) -> None:
    ignore = SIGACTION.pack(SIG_IGN, 0, 0, 0)
    on.call(nr.setitimer, ITIMER_REAL, itimerval(timer.interval, 1), 0, why="interval timer that has expired")
    on.call(nr.nanosleep, timespec(100_000), 0, why="let it expire")
    on.call(nr.rt_sigaction, SIGALRM, ignore, 0, SIGSET, why="discard its signal, the timer rests")
    on.call(nr.rt_sigaction, SIGALRM, DEFAULT, 0, SIGSET, why="SIGALRM is default again")


def same(before: State | None, after: State | None, elapsed: int) -> list[str]:
    """A timer may have run on, expired or been started again within the time that has passed."""
    old = {timer.which: timer for timer in before.timers} if before else {}
    new = {timer.which: timer for timer in after.timers} if after else {}
    return [
        f"{name} interval timer: {old.get(which)} became {new.get(which)}"
        for which, name in _NAMES.items()
        if not _goes_on(old.get(which), new.get(which), elapsed // 1000)
    ]


def _goes_on(old: Timer | None, new: Timer | None, elapsed: int) -> bool:
    if old is None or new is None:
        return old is new or (old is not None and old.interval == 0 and old.value <= elapsed)
    if old.interval != new.interval:
        return False
    # the kernel rounds the remaining time, so one tick may be gained
    return new.value <= (max(old.interval, old.value) if elapsed >= old.value else old.value) + 10_000
