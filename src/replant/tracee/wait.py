"""Waiting for tasks, and what a wait status says of one that is traced (ptrace(2), "Stopped states")."""

from __future__ import annotations

import os

from replant.abi import wait as abi
from replant.abi.ptrace import EVENT_STOP
from replant.abi.signal import STOPPING
from replant.errors import TaskGone

ALL = abi.WALL
_ANYTHING = abi.WALL | abi.WNOWAIT | os.WEXITED | os.WSTOPPED


def for_task(tid: int, options: int = 0) -> int:
    """The next status of one task, thread or process; with WNOHANG 0 if there is none.

    :raises TaskGone: it is not (or no longer) a task of ours to wait for.
    """
    try:
        return os.waitpid(tid, ALL | options)[1]
    except ChildProcessError:
        raise TaskGone(tid, "it was waited for") from None


def until_stopped(tid: int) -> int:
    """Wait until a task stops; the status.

    :raises TaskGone: it ended instead.
    """
    status = for_task(tid)
    if not abi.stopped(status):
        raise TaskGone(tid, "it was waited for")
    return status


def peek(tid: int, options: int = 0) -> int:
    """`for_task` for a live target: a signal that it is about to take survives us.

    wait(2) uses up the number that the kernel has put aside for a signal-delivery-stop, and if the tracer then dies
    the signal is gone. Such a stop is only looked at here; resuming the task ends it.

    :raises TaskGone: it is not (or no longer) a task of ours to wait for.
    """
    try:
        found = os.waitid(os.P_PID, tid, _ANYTHING | options)
        if found is None:
            return 0
        if found.si_code == os.CLD_TRAPPED and found.si_status < 0x100:
            return 0x7F | found.si_status << 8
        return os.waitpid(tid, ALL | options)[1]
    except ChildProcessError:
        raise TaskGone(tid, "it was waited for") from None


def peek_stop(tid: int) -> int:
    """`until_stopped` for a live target. :raises TaskGone: it ended instead."""
    status = peek(tid)
    if not abi.stopped(status):
        raise TaskGone(tid, "it was waited for")
    return status


def group_stop(status: int) -> int:
    """The signal that keeps the whole process stopped, if this is a group-stop, else 0."""
    signal = abi.stop_signal(status)
    return signal if abi.event(status) == EVENT_STOP and signal in STOPPING else 0


def delivery(status: int) -> int:
    """The signal that is about to be delivered, if this is a signal-delivery-stop, else 0."""
    return 0 if abi.event(status) else abi.stop_signal(status)
