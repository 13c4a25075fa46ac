"""Stopping one task: seize, interrupt, and wait through everything else that may happen to it meanwhile."""

from __future__ import annotations

import os
import time

from replant.abi import ptrace as abi
from replant.abi import wait as status_of
from replant.abi.wait import WNOHANG
from replant.errors import Blocker, TaskGone

from . import blob, memory, ptrace, resume, vdso, wait
from .task import FrozenThread, read_status

_EPERM = 1
_PATIENCE = 2.0  # seconds for a task to come to a stop
_SPINS = 30


class Changed(Exception):
    """The tree has changed under our hands in a way that asks for another look."""


def seize(thread: FrozenThread) -> bool:
    """Seize a thread and ask it to stop; False if it has ended (it may be a zombie).

    :raises Blocker: it may not be traced, or somebody else does.
    """
    try:
        ptrace.seize(thread.tid)
        ptrace.interrupt(thread.tid)
    except TaskGone:
        return False
    except OSError as error:
        if error.errno != _EPERM:
            raise
        return _refusal(thread)
    return True


def _refusal(thread: FrozenThread) -> bool:
    """Why a task cannot be seized: it is dead, or the reason is a blocker."""
    try:
        status = read_status(thread.pid, thread.tid)
    except TaskGone:
        return False
    if status[b"State"][:1] in b"ZX":
        return False
    tracer = int(status[b"TracerPid"])
    if tracer == os.getpid():
        raise Changed(f"task {thread.tid} has taken the number of another by execve")
    if tracer:
        raise Blocker(
            f"task {thread.tid} is being traced by process {tracer}",
            code="traced",
            pid=thread.pid,
            resource=f"tracer {tracer}",
            hint=f"end the debugger or tracer {tracer} first",
        )
    raise Blocker(
        f"task {thread.tid} may not be traced",
        code="no-permission",
        pid=thread.pid,
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
                if not _in_blob(thread):
                    resume.heal(thread)
                    return True
                _let_out(thread)
            else:
                # any trap uses up the interruption
                ptrace.interrupt(thread.tid)
                ptrace.cont(thread.tid, wait.delivery(status))
    except TaskGone:
        return False


def _next_status(thread: FrozenThread) -> int:
    """The next wait status, or word of what keeps the task from stopping."""
    deadline = time.monotonic() + _PATIENCE
    for turn in range(1 << 30):
        status = wait.for_task(thread.tid, WNOHANG)
        if status:
            return status
        if turn < _SPINS:
            os.sched_yield()
            continue
        time.sleep(0.0001)
        if turn % 20 == 0:
            _look(thread, time.monotonic() > deadline)
    raise AssertionError


def _look(thread: FrozenThread, impatient: bool) -> None:
    """See why a task does not stop. The dead leader of living threads cannot be waited for."""
    state = read_status(thread.pid, thread.tid)[b"State"]
    if state[:1] == b"Z":
        raise TaskGone(thread.tid, "it was being stopped")
    if impatient:
        raise Blocker(
            f"task {thread.tid} does not stop: it is in state {state.decode()}",
            code="does-not-stop",
            pid=thread.pid,
            hint="it sleeps in the kernel (a disk, a vfork whose child still runs); try again once that is over",
        )


def _in_blob(thread: FrozenThread) -> bool:
    """Whether the thread is on its way out of the blob, where a dumper that died has left it."""
    start = thread.rip & ~0xFFF | vdso.padding()
    if not 0 <= thread.rip - start < blob.END:
        return False
    try:
        return memory.read(thread.pid, start, len(blob.CODE)) == blob.CODE
    except OSError:
        return False


def _let_out(thread: FrozenThread) -> None:
    ptrace.cont(thread.tid)
    time.sleep(0.0005)
    ptrace.interrupt(thread.tid)
