"""Letting go of frozen tasks: to run on, to stay stopped, or to die."""

from __future__ import annotations

import os

from replant.abi import wait as status_of
from replant.abi import x86_64
from replant.abi.libc import syscall_raw
from replant.abi.signal import SIGKILL, SIGSTOP
from replant.errors import Blocker, TaskGone

from . import ptrace, resume, seize, wait
from .task import field, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .task import FrozenTask, FrozenThread


def close_insides(tasks: Iterable[FrozenTask]) -> None:
    """Take home whoever is still being asked: an exception may have kept a generator of ours from its end."""
    for task in tasks:
        if task.inside is not None:
            task.inside.close()


def run(threads: Sequence[FrozenThread]) -> None:
    """Detach, children before parents. Who was in a group-stop goes back to it, by the kernel's own doing."""
    for thread in reversed(threads):
        try:
            resume.reopen(thread)
            ptrace.detach(thread.tid)
        except TaskGone:
            _detach_later(thread)


def _detach_later(thread: FrozenThread) -> None:
    """Detach a task that has not stopped yet; whoever does not is detached by the kernel when this process ends."""
    try:
        if seize.stop(thread):
            ptrace.detach(thread.tid)
    except (Blocker, TaskGone, seize.Changed):
        pass


def stop(tasks: Iterable[FrozenTask]) -> None:
    """Give each thread a SIGSTOP, so that none runs an instruction before it sees that its process is stopped."""
    for task in tasks:
        if not task.stop_signal:
            for thread in task.threads:
                syscall_raw(x86_64.tgkill, task.pid, thread.tid, SIGSTOP)


def kill(tasks: Sequence[FrozenTask], threads: Sequence[FrozenThread]) -> None:
    """Kill all, the root last, whose parent then learns of it when nothing of the tree is left."""
    for task in reversed(tasks):
        if task.threads:
            _kill(task.pid)
    for thread in threads:
        if thread.tid != thread.pid:
            _await_end(thread.tid)
    for task in reversed(tasks):
        if task.threads:
            _await_end(task.pid, leave=_is_own_child(task.pid))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, SIGKILL)
    except ProcessLookupError:
        pass


def _await_end(tid: int, leave: bool = False) -> None:
    """Wait for the end of a killed task; ``leave`` its zombie for whoever in this process has started it."""
    try:
        if leave:
            os.waitid(os.P_PID, tid, os.WEXITED | os.WNOWAIT | wait.ALL)
        else:
            while status_of.stopped(wait.for_task(tid)):
                pass
    except (TaskGone, ChildProcessError):
        pass


def _is_own_child(pid: int) -> bool:
    try:
        return int(field(read_status(pid, pid), b"PPid")) == os.getpid()
    except TaskGone:
        return False
