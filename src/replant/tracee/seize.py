"""Stopping one task: seize, interrupt, and wait through everything else that may happen to it meanwhile."""

from __future__ import annotations

import os
import time
from _thread import get_native_id

from replant.abi import ptrace as abi
from replant.abi import wait as status_of
from replant.abi.mman import PAGE
from replant.abi.wait import WNOHANG
from replant.errors import Blocker, TaskGone

from . import detour, memory, ptrace, resume, vdso, wait
from .task import FrozenThread, field, read_status

_EPERM = 1
_PATIENCE = 2.0  # seconds for a task to come to a stop
_SPINS = 30


class Changed(Exception):
    """A process has changed under our hands in a way that asks for another look at the tree."""


def seize(thread: FrozenThread) -> bool:
    """Seize a thread and ask it to stop; False if it has ended (it may be a zombie).

    :raises Blocker: it may not be traced, or somebody else does.
    """
    try:
        if _is_ours(thread):
            ptrace.interrupt(thread.tid)
            return True
    except TaskGone:
        pass
    bury(thread)
    return False


def _is_ours(thread: FrozenThread, again: bool = True) -> bool:
    """Seize a thread, if it is alive."""
    try:
        ptrace.seize(thread.tid)
        return True
    except OSError as error:
        if error.errno != _EPERM:
            raise
        return _was_ours(thread, again)


def _was_ours(thread: FrozenThread, again: bool) -> bool:
    """Why a task cannot be seized: it has been already, or is dead; anything else is a blocker."""
    status = read_status(thread.pid, thread.tid)
    if field(status, b"State")[:1] in b"ZX":
        return False
    tracer = int(field(status, b"TracerPid"))
    if tracer == get_native_id():
        return True  # execve in a thread: it has come with the number of the leader
    if tracer:
        raise Blocker(
            f"task {thread.tid} is being traced by process {tracer}",
            code="traced",
            pid=thread.pid,
            resource=f"tracer {tracer}",
            hint=f"end the debugger or tracer {tracer} first",
        )
    if again:
        return _is_ours(thread, again=False)  # it was dead, and execve in a thread has given it a new life
    raise Blocker(
        f"task {thread.tid} may not be traced",
        code="no-permission",
        pid=thread.pid,
        resource=f"task {thread.tid}",
        hint="run as root (CAP_SYS_PTRACE), and see kernel.yama.ptrace_scope",
    )


def stop(thread: FrozenThread) -> bool:
    """Wait until a seized thread has stopped, and read its registers; False if it has ended.

    Signals that it was about to take are delivered first, so that none is lost.

    :raises Blocker: it does not come to a stop.
    """
    try:
        while True:
            status = _next_status(thread)
            if not status_of.stopped(status):
                return False
            if status_of.event(status) == abi.EVENT_STOP:
                thread.stop_signal = wait.group_stop(status) or thread.stop_signal
                thread.load()
                if not _in_padding(thread) or detour.leave(thread):
                    resume.heal(thread)
                    return True
                _go_on(thread)
            else:
                # any trap uses up the interruption
                ptrace.interrupt(thread.tid)
                ptrace.cont(thread.tid, wait.delivery(status))
    except TaskGone:
        bury(thread)
        return False


def bury(thread: FrozenThread) -> None:
    """See a task that is dying to its end: as long as its tracer has not, its own parent waits in vain.

    Ours to leave are our own children, and the dead leader of threads that live on.
    """
    if thread.tid == thread.pid and is_own_child(thread.pid):
        return
    deadline = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < deadline:
            dead = field(read_status(thread.pid, thread.tid), b"State")[:1] in b"ZX"
            wait.for_task(thread.tid, WNOHANG)
            if dead:
                return
            os.sched_yield()
    except TaskGone:
        pass  # it has been seen, or is not traced by us


def is_own_child(pid: int) -> bool:
    """Whether this process has started that one."""
    try:
        return int(field(read_status(pid, pid), b"PPid")) == os.getpid()
    except TaskGone:
        return False


def check_stopped(leader: FrozenThread) -> None:
    """Look at the leader again once the other threads have stopped: an execve of theirs may have replaced it.

    :raises Changed: it has.
    """
    try:
        ptrace.getsigmask(leader.tid)
    except TaskGone:
        raise Changed from None


def _next_status(thread: FrozenThread) -> int:
    """The next wait status, or word of what keeps the task from stopping."""
    deadline = time.monotonic() + _PATIENCE
    turn = 0
    while not (status := _status(thread)):
        turn += 1
        if turn < _SPINS:
            os.sched_yield()
            continue
        time.sleep(0.0001)
        if turn % 20 == 0:
            _look(thread, time.monotonic() > deadline)
    return status


def _status(thread: FrozenThread) -> int:
    try:
        return wait.peek(thread.tid, WNOHANG)
    except TaskGone:
        if thread.tid == thread.pid:
            raise
        raise Changed from None  # no thread of ours ends without word, but for an execve


def _look(thread: FrozenThread, impatient: bool) -> None:
    """See why a task does not stop. The dead leader of living threads cannot be waited for."""
    status = read_status(thread.pid, thread.tid)
    state = field(status, b"State")
    if state[:1] == b"Z":
        raise TaskGone(thread.tid, "it was being stopped")
    if int(field(status, b"TracerPid")) != get_native_id():
        raise Changed  # by an execve in a thread that we had not reached yet
    if impatient:
        raise Blocker(
            f"task {thread.tid} does not stop: it is in state {state.decode()}",
            code="does-not-stop",
            pid=thread.pid,
            resource=f"task {thread.tid}",
            hint="it sleeps in the kernel (a disk, a vfork whose child runs, a frozen freezer); try again after that",
        )


def _in_padding(thread: FrozenThread) -> bool:
    """Whether the thread is where a dumper has left it: on its way out, as that died, or in a wait on a detour."""
    if thread.rip % PAGE < vdso.room() % PAGE:
        return False
    start = (thread.rip & -PAGE) - (vdso.room() & -PAGE)
    try:
        return memory.read(thread.pid, start, PAGE) == vdso.first_page()
    except OSError:
        return False


def _go_on(thread: FrozenThread) -> None:
    ptrace.cont(thread.tid)
    time.sleep(0.0005)
    ptrace.interrupt(thread.tid)


def let_run(thread: FrozenThread) -> None:
    """Let a stopped thread run for a moment, and stop it again.

    :raises TaskGone: it has ended. :raises Blocker: it does not stop again.
    """
    _go_on(thread)
    if not stop(thread):
        raise TaskGone(thread.tid, "it was being stopped")
