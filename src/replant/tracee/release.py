"""Letting go of frozen tasks: to run on, to stay stopped, or to die."""

from __future__ import annotations

import os
from errno import ECHILD

from replant.abi import wait as status_of
from replant.abi import x86_64
from replant.abi.call import Call
from replant.abi.libc import syscall_raw
from replant.abi.signal import SIGCONT, SIGKILL, SIGSTOP, bit
from replant.errors import Blocker, TaskGone

from . import ptrace, resume, seize, wait
from .inside import Inside
from .task import field, read_status
from .visit import Overslept

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
            resume.send_off(thread)
            ptrace.detach(thread.tid)
        except TaskGone:
            _detach_later(thread)


def _detach_later(thread: FrozenThread) -> None:
    """Detach a task that has not stopped yet; whoever does not is detached by the kernel when this process ends."""
    try:
        ptrace.interrupt(thread.tid)  # it may have been seized and not yet interrupted
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


def stop_again(tasks: Iterable[FrozenTask]) -> None:
    """Send stopped processes what they have taken of `FrozenTask.second_stops`; it waits in them until SIGCONT.

    If that has come in the meantime, it has discarded them. Who sent a SIGSTOP is seen by nobody but a tracer.
    """
    for task in tasks:
        while task.second_stops and not _continued(task):
            tid, _ = task.second_stops.pop()
            second_stop(task.pid, tid)


def second_stop(pid: int, tid: int) -> None:
    """Queue a SIGSTOP to a thread of a stopped process, or to the process (``tid`` 0)."""
    if tid:
        syscall_raw(x86_64.tgkill, pid, tid, SIGSTOP)
    else:
        syscall_raw(x86_64.kill, pid, SIGSTOP)


def _continued(task: FrozenTask) -> bool:
    """Whether somebody has sent it a SIGCONT, which stays pending in traced tasks."""
    try:
        status = read_status(task.pid, task.pid)
    except TaskGone:
        return True
    return bool((int(field(status, b"SigPnd"), 16) | int(field(status, b"ShdPnd"), 16)) & bit(SIGCONT))


def kill(tasks: Sequence[FrozenTask], threads: Sequence[FrozenThread]) -> None:
    """Kill all, the root last, whose parent then learns of it when nothing of the tree is left, zombies included.

    The dead are reaped by their own parents, who are still there: left to init they could keep their numbers for
    seconds. First of all everything is tied to our own life, so that if we die meanwhile no half of a tree runs on.
    """
    for thread in threads:
        _doom(thread)
    for level in reversed(_levels(tasks)):
        for task in level:
            _reap_inside(task)
        for task in level:
            _kill(task.pid)
        for task in level:
            for thread in task.threads[1:]:
                _await_end(thread.tid)
        for task in level:
            _await_end(task.pid, leave=task is tasks[0] and seize.is_own_child(task.pid))


def _levels(tasks: Sequence[FrozenTask]) -> list[list[FrozenTask]]:
    """The living processes by their distance from the root; ``tasks`` are parents before children."""
    depth = {tasks[0].pid: 0}
    for task in tasks:
        depth.update(dict.fromkeys(task.children, depth.get(task.pid, 0) + 1))
    levels: list[list[FrozenTask]] = [[] for _ in range(max(depth.values()) + 1)]
    for task in tasks:
        if task.threads:
            levels[depth.get(task.pid, 0)].append(task)
    return levels


def _doom(thread: FrozenThread) -> None:
    try:
        thread.set_option(ptrace.O_EXITKILL)
    except TaskGone:
        pass  # killed by somebody else


def _reap_inside(task: FrozenTask) -> None:
    """Have a process wait for its children, who are all dead."""
    call = Call(x86_64.wait4, -1, 0, wait.ALL | status_of.WNOHANG, 0, why="a dead child", ok=(ECHILD,))
    try:
        if task.children:
            with Inside(task) as inside:
                inside.ask(task.threads[0], [call] * len(task.children))
    except (Blocker, TaskGone, Overslept):
        pass  # its children are left to init


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
