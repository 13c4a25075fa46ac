"""The smaller files of /proc/PID: limits, auxv, timers, command line, oom_score_adj, personality."""

from __future__ import annotations

from struct import iter_unpack

from ..record import Record
from .read import read, read_long, read_memory, task_path

INFINITY = (1 << 64) - 1


class Limit(Record):
    """A resource limit as getrlimit(2) gives it; no limit is ``RLIM_INFINITY``, all bits set."""

    soft: int
    hard: int


# the order of /proc/PID/limits is that of the numbers RLIMIT_*
_NAMES = (
    *("cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile"),
    *("memlock", "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"),
)


def limits(pid: int, tid: int | None = None) -> dict[str, Limit]:
    """The 16 limits by the lower-case name (``nofile``), in the order of their numbers.

    :raises TaskGone: the process has ended; a zombie, too, has no limits left to show.
    """
    lines = read(pid, task_path(pid, tid) + "/limits").splitlines()[1:]
    # columns are fixed: "%-25s %-20s %-20s %-10s"
    pairs = [Limit(_limit(line[26:47]), _limit(line[47:68])) for line in lines]
    return dict(zip(_NAMES, pairs, strict=False))


def _limit(column: bytes) -> int:
    word = column.split()[0]
    return INFINITY if word == b"unlimited" else int(word)


def auxv(pid: int, tid: int | None = None) -> tuple[tuple[int, int], ...]:
    """The auxiliary vector as (type, value), without its AT_NULL; empty for a zombie or a kernel thread.

    :raises TaskGone: the task has ended and been reaped.
    """
    data = read_memory(pid, task_path(pid, tid) + "/auxv")
    return tuple([pair for pair in iter_unpack("QQ", data[: len(data) & ~15]) if pair[0]])


def cmdline(pid: int) -> bytes:
    """The argument area as it is now, strings end with NUL; empty for a zombie or a kernel thread.

    :raises TaskGone: the task has ended and been reaped.
    """
    return read_memory(pid, task_path(pid) + "/cmdline")


def environ(pid: int) -> bytes:
    """The environment area as it is now, strings end with NUL; empty for a zombie or a kernel thread.

    :raises TaskGone: the task has ended and been reaped.
    """
    return read_memory(pid, task_path(pid) + "/environ")


def resident_kib(pid: int) -> int:
    """Resident memory in KiB, 0 for those without an address space.

    :raises TaskGone: the task has ended and been reaped.
    """
    return int(read(pid, task_path(pid) + "/statm", 256).split(None, 2)[1]) * 4


def oom_score_adj(pid: int, tid: int | None = None) -> int:
    """From -1000 (never) to 1000, see proc_pid_oom_score_adj(5).

    :raises TaskGone: the task has ended and been reaped.
    """
    return int(read(pid, task_path(pid, tid) + "/oom_score_adj", 64))


def personality(pid: int, tid: int | None = None) -> int:
    """personality(2) of the task.

    :raises TaskGone: the task has ended and been reaped.
    """
    return int(read(pid, task_path(pid, tid) + "/personality", 64), 16)


class Timer(Record):
    """A POSIX timer, proc_pid_timers(5); the times are not told here. ``target`` is ``pid.N`` or ``tid.N``."""

    timer_id: int
    signal: int
    value: int
    notify: str
    target: str
    clock: int


def timers(pid: int) -> list[Timer]:
    """The POSIX timers of a process (needs CONFIG_CHECKPOINT_RESTORE).

    :raises TaskGone: the process has ended; a zombie, too, has no timers left.
    :raises FileNotFoundError: the kernel does not show timers.
    """
    lines = [line.split(b": ", 1)[1] for line in read_long(pid, task_path(pid) + "/timers").splitlines()]
    return [_timer(lines[at : at + 4]) for at in range(0, len(lines), 4)]


def _timer(words: list[bytes]) -> Timer:
    number, sent, how, clock = words
    signal, value = sent.split(b"/")
    notify, target = how.decode().split("/")
    # sigval is printed by %px: hexadecimal without a prefix
    return Timer(int(number), int(signal), int(value, 16), notify, target, int(clock))
