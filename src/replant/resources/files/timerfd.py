"""timerfd_create(2): clock, period, unread expirations, and what is left until the next.

A timer set to a span of time keeps the time it had left when the tree was frozen; one set to a moment of its clock
keeps that moment, so that one that passed meanwhile expires at once, as after any stop. If the clock has
been set back since (another boot), what was left then is left now.
"""

from __future__ import annotations

import struct
import time

from replant.abi import fcntl, poll, timerfd, x86_64
from replant.abi.call import Out
from replant.abi.libc import syscall
from replant.model.frozen import Frozen
from replant.resources.shared import compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_TELLS_THE_SAME = {8: time.CLOCK_REALTIME, 9: time.CLOCK_BOOTTIME}  # CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM
_SLACK = 50_000_000  # between reading a timer and reading the clock a busy machine may pause


class State(Frozen):
    """Nanoseconds throughout; ``left`` 0: disarmed. ``flags`` are those of the last timerfd_settime.

    ``moment`` is when it expires on its own clock if it was set to a moment, else 0.
    """

    clock: int
    flags: int
    ticks: int
    left: int
    period: int
    moment: int


def claims(f: FileFacts) -> bool:
    """The kernel names it ``[timerfd]``."""
    return f.link == "anon_inode:[timerfd]"


def read(f: FileFacts, dump: DumpSide) -> State:
    """fdinfo as of proc_pid_fdinfo(5)."""
    info = f.info
    if _span(info["it_value"]) == 0 and _span(info["it_interval"]):
        info = _settled(f)
    clock, flags = int(info["clockid"]), int(info["settime flags"], 8)
    left = _span(info["it_value"])
    moment = _moment(f, clock) if left and flags & timerfd.TFD_TIMER_ABSTIME else 0
    return State(clock, flags, int(info["ticks"]), left, _span(info["it_interval"]), moment)


def _moment(f: FileFacts, clock: int) -> int:
    """When it expires on its clock: what is left of it and what the clock says, asked in one go."""
    fd, room = f.grab(), bytearray(32)
    before = _now(clock)
    syscall(x86_64.timerfd_gettime, fd, room)
    after = _now(clock)
    seconds, nanoseconds = int.from_bytes(room[16:24], "little"), int.from_bytes(room[24:], "little")
    return (before + after) // 2 + seconds * 1_000_000_000 + nanoseconds


def _now(clock: int) -> int:
    """The clock of a timer; where there is nothing to wake the machine, an alarm clock cannot be read itself."""
    return time.clock_gettime_ns(_TELLS_THE_SAME.get(clock, clock))


def _span(text: str) -> int:
    seconds, nanoseconds = text.strip().strip("()").split(",")
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def _settled(f: FileFacts) -> dict[str, str]:
    """A periodic timer that expired is wound up when somebody looks: timerfd_gettime looks, and alters nothing else."""
    fd = f.grab()
    syscall(x86_64.timerfd_gettime, fd, bytearray(32))
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        return dict([line.split(":", 1) for line in lines if ":" in line])


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, arm, and put the unread expirations in."""
    made = []
    for file in files:
        state = file.state
        assert isinstance(state, State)
        fd = on.call(x86_64.timerfd_create, state.clock, file.flags & fcntl.O_NONBLOCK, why="timerfd")
        flags, value = _setting(state)
        setting = fcntl.pack_times(state.period, value)
        on.call(x86_64.timerfd_settime, fd, flags, setting, 0, why="period and time left")
        if state.ticks:
            on.call(x86_64.ioctl, fd, timerfd.TFD_IOC_SET_TICKS, struct.pack("=Q", state.ticks), why="unread ticks")
        made.append(fd)
    return made


def _setting(state: State) -> tuple[int, int]:
    """Flags and value for timerfd_settime."""
    if state.moment and _now(state.clock) < state.moment - state.left:
        return state.flags, _now(state.clock) + state.left
    return state.flags, state.moment or state.left


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Clock, flags and period are equal; until it may have expired, the time left has gone down by at most ``elapsed``.

    Once it may have expired the program may have read it and armed it again, so nothing else can be said.
    """
    yield from compare.fields(before, after, ("ticks", "left", "moment"))
    lowest = before.left - elapsed - _SLACK
    if before.left and lowest <= 0:
        return
    if not max(lowest, 0) <= after.left <= before.left + _SLACK:
        yield f"left: {before.left} -> {after.left} after {elapsed} ns"
    if abs(before.moment - after.moment) > _SLACK:
        yield f"moment: {before.moment} -> {after.moment}"
    if elapsed == 0 and before.ticks != after.ticks:
        yield f"ticks: {before.ticks} -> {after.ticks}"


def can_rouse(f: FileFacts) -> bool:
    """Always: a timer that is not ready has no ticks to lose."""
    return True


def rouse(file: File, fd: Slot | int, on: Track, restore: RestoreSide) -> Callable[[], None]:
    """Let it expire, and set it again."""
    state = file.state
    assert isinstance(state, State)
    on.call(x86_64.timerfd_settime, fd, 0, fcntl.pack_times(0, 1), 0, why="expires")
    wanted = struct.pack("=ihh", fd if isinstance(fd, int) else -1, poll.POLLIN, 0)
    on.call(x86_64.ppoll, Out(8, wanted), 1, 0, 0, 8, why="until it has expired")

    def take_back() -> None:
        flags, value = _setting(state)
        on.call(x86_64.timerfd_settime, fd, flags, fcntl.pack_times(state.period, value), 0, why="as it was")

    return take_back
