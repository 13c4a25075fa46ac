"""/proc/PID/stat: one line of numbers, the cheapest file about a task."""

from __future__ import annotations

from ..record import Record
from .read import read, task_path, text


class Stat(Record):
    """Names, order and units as in proc_pid_stat(5); ``comm`` without its parentheses.

    Ticks are 1/``sysconf(_SC_CLK_TCK)`` s. Addresses, ``wchan`` and ``exit_code`` read 0 for a caller who may not
    ptrace the task. ``exit_code`` is a wait status.
    """

    pid: int
    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    tty_nr: int
    tpgid: int
    flags: int
    minflt: int
    cminflt: int
    majflt: int
    cmajflt: int
    utime: int
    stime: int
    cutime: int
    cstime: int
    priority: int
    nice: int
    num_threads: int
    itrealvalue: int
    starttime: int
    vsize: int
    rss: int
    rsslim: int
    startcode: int
    endcode: int
    startstack: int
    kstkesp: int
    kstkeip: int
    signal: int
    blocked: int
    sigignore: int
    sigcatch: int
    wchan: int
    nswap: int
    cnswap: int
    exit_signal: int
    processor: int
    rt_priority: int
    policy: int
    delayacct_blkio_ticks: int
    guest_time: int
    cguest_time: int
    start_data: int
    end_data: int
    start_brk: int
    arg_start: int
    arg_end: int
    env_start: int
    env_end: int
    exit_code: int


def stat(pid: int, tid: int | None = None) -> Stat:
    """The line of a process, or of one thread.

    :raises TaskGone: the task has ended and been reaped.
    """
    line = read(pid, f"{task_path(pid, tid)}/stat", 2048)
    opening, closing = line.index(b"("), line.rindex(b")")
    rest = line[closing + 2 :].split()
    return Stat._make((int(line[:opening]), text(line[opening + 1 : closing]), rest[0].decode(), *map(int, rest[1:])))
