"""Freezing a tree: every thread of every process stopped, and let go of again as it was found.

A task that is stopped creates nothing, so the freeze goes down the tree: the threads of a process until no new one
is there, then its children. Processes that end meanwhile hand their children on to an ancestor, so that those who
have children are looked at once more in the end.

If the freezing process dies, the kernel lets all tasks run on; no option that would kill them is set before they are
to be killed.
"""

from __future__ import annotations

import os
import time

from replant.errors import Blocker, Refused, TaskGone
from replant.journal import DEBUG, WARNING, current, site

from . import release
from .seize import Changed, check_stopped, seize, stop
from .task import FrozenTask, FrozenThread, field, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Protocol
else:
    Protocol = object

_STOPPED = site("freeze", "process %p is stopped, %d threads of it", level=DEBUG)
_CHANGED = site("freeze", "the tree of %p has changed while it was being stopped: once more", level=WARNING)
_RELEASED = site("release", "the tree of %p is let go of: %s")
_ATTEMPTS = 20


class Hold(Protocol):
    """Something that is held still, and told just before and after the tasks are let go of, and how."""

    def before(self, how: str) -> None:
        """They are about to be."""
        ...

    def after(self, how: str) -> None:
        """They have been, or an error has come in between."""
        ...


class Ends(Protocol):
    """Somebody who knows when the calls were to end that a stop interrupts."""

    def ends(self) -> Mapping[int, int]:
        """By thread, CLOCK_MONOTONIC in ns, of those interrupted since this was asked last."""
        ...


class FrozenTree:
    """A tree that is stopped from the beginning of a ``with`` to its end, or to `release`.

    ``tasks``: processes, parents before children. ``first_stop`` and ``last_release``: CLOCK_MONOTONIC in ns.
    ``holds``: what is held still besides them, and let go of with them.
    """

    def __init__(self, root: int, ends: Ends | None = None) -> None:
        self.root = root
        self._ends = ends
        self.tasks: list[FrozenTask] = []
        self.first_stop = 0
        self.last_release = 0
        self.holds: list[Hold] = []
        self._held: list[FrozenThread] = []
        self._blockers: list[Blocker] = []

    @property
    def frozen_ms(self) -> float:
        """From the first stop to the last release."""
        return (self.last_release - self.first_stop) / 1e6

    def __enter__(self) -> FrozenTree:
        for _ in range(_ATTEMPTS):
            try:
                with current().phase("freeze"):
                    self._freeze()
                self._learn_ends()
                return self
            except Changed:
                _CHANGED(current(), self.root)
                self._forget()
            except BaseException:
                self._forget()
                raise
        raise TaskGone(self.root, "its tree was being stopped")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
            self.release()

    def release(self, how: str = "run") -> None:
        """Let go of all tasks.

        ``run``: as they were found. ``stop``: each thread with a SIGSTOP, before any of its instructions. ``kill``:
        all are killed before any of them runs again, and gone when this returns.
        """
        try:
            for hold in self.holds:
                hold.before(how)
            self._let_go(how)
        finally:
            while self.holds:
                self.holds.pop().after(how)

    def _let_go(self, how: str) -> None:
        try:
            release.close_insides(self.tasks)
        finally:
            if how == "kill":
                release.kill(self.tasks, self._held)
            else:
                if how == "stop":
                    release.stop(self.tasks)
                release.stop_again(self.tasks)
                release.run(self._held)
            self._held = []
            self.last_release = time.monotonic_ns()
            _RELEASED(current(), self.root, how)

    def _learn_ends(self) -> None:
        """When interrupted calls were to end; what is not known counts as begun just now, or has no end."""
        ends = self._ends.ends() if self._ends else {}
        for thread in self._held:
            if thread.healed and thread.tid in ends:
                thread.end = min(thread.end or ends[thread.tid], ends[thread.tid])

    def _forget(self) -> None:
        release.run(self._held)
        self._held, self.tasks, self._blockers = [], [], []

    def _freeze(self) -> None:
        self.first_stop = time.monotonic_ns()
        new = self._stop([self.root])
        if not new and not self._blockers:
            raise TaskGone(self.root, "it was being stopped")
        while new:
            while new:
                new = self._stop(self._new_children(new))
            new = self._stop(self._new_children([task for task in self.tasks if task.children]))
        if self._blockers:
            raise Refused(f"the tree of {self.root} cannot be stopped", self._blockers)
        listed = {pid for task in self.tasks for pid in task.children}
        if any(task.pid not in listed for task in self.tasks[1:]):
            raise Changed  # a child was reaped by the kernel itself, and its number was given to a stranger

    def _new_children(self, tasks: Iterable[FrozenTask]) -> list[int]:
        """Children of stopped processes that are not known yet."""
        known = {task.pid for task in self.tasks} | {blocker.pid for blocker in self._blockers}
        found = []
        for task in tasks:
            task.children = children(task)
            found += [pid for pid in task.children if pid not in known]
        return found

    def _stop(self, pids: Iterable[int]) -> list[FrozenTask]:
        """Stop processes, all at the same time; those that are there, as tasks."""
        tasks = [FrozenTask(pid) for pid in pids]
        leaders = [FrozenThread(task, task.pid) for task in tasks if self._may_be_stopped(task.pid)]
        stopped = {thread.pid: thread for thread in self._stop_threads(leaders)}
        for task in tasks:
            if task.pid in stopped:
                task.threads.append(stopped[task.pid])
                self._stop_others(task)
                check_stopped(task.threads[0])
            elif not self._is_refused(task.pid):
                self._look_at_dead(task)
        found = [task for task in tasks if task.threads or task.zombie]
        for task in found:
            _STOPPED(current(), task.pid, len(task.threads))
        self.tasks += found
        return found

    def _stop_others(self, task: FrozenTask) -> None:
        """Stop the other threads of a process, until no new one is there."""
        known = {task.pid}
        while True:
            new = thread_ids(task.pid) - known
            if not new:
                return
            known |= new
            task.threads += self._stop_threads([FrozenThread(task, tid) for tid in sorted(new)])

    def _stop_threads(self, threads: list[FrozenThread]) -> list[FrozenThread]:
        """Those of the threads that could be stopped; blockers are collected."""
        seized, stopped = [], []
        for thread in threads:
            self._held.append(thread)  # beforehand: whatever comes in between, it will be let go of
            try:
                if seize(thread):
                    seized.append(thread)
                else:
                    self._held.remove(thread)
            except Blocker as blocker:
                self._held.remove(thread)
                self._blockers.append(blocker)
        for thread in seized:
            try:
                if stop(thread):
                    stopped.append(thread)
                else:
                    self._held.remove(thread)
            except Blocker as blocker:
                self._blockers.append(blocker)
        return stopped

    def _may_be_stopped(self, pid: int) -> bool:
        if pid != os.getpid():
            return True
        hint = "run replant from outside of the tree: it must not be a descendant of the process it dumps"
        self._blockers.append(Blocker("replant itself is in the tree", code="self", pid=pid, hint=hint))
        return False

    def _is_refused(self, pid: int) -> bool:
        return any(blocker.pid == pid for blocker in self._blockers)

    def _look_at_dead(self, task: FrozenTask) -> None:
        """A process whose leader has ended: a zombie, or nothing at all, or, if others live on, a blocker."""
        try:
            self._stop_others(task)
            state = field(read_status(task.pid, task.pid), b"State")
        except TaskGone:
            return
        if state[:1] not in b"ZX":
            raise Changed  # execve in a thread has brought the leader back to life
        task.zombie = not task.threads
        if task.threads:
            message = f"the first thread of process {task.pid} has ended while others run"
            hint = "such a process cannot be made again; end it before the dump"
            self._blockers.append(Blocker(message, code="leader-ended", pid=task.pid, hint=hint))


def freeze(root: int, ends: Ends | None = None) -> FrozenTree:
    """The tree below and including process ``root``, stopped inside a ``with``; ``ends`` looks on already.

    :raises TaskGone: the root has ended. :raises Refused: a task cannot be stopped; everything runs on as found.
    """
    return FrozenTree(root, ends)


def thread_ids(pid: int) -> set[int]:
    """The threads of a process. :raises TaskGone:"""
    try:
        return set(map(int, os.listdir(f"/proc/{pid}/task")))
    except (FileNotFoundError, ProcessLookupError):
        raise TaskGone(pid, "its threads were listed") from None


def children(task: FrozenTask) -> list[int]:
    """Children of all threads of a stopped process, zombies included."""
    found: list[int] = []
    for thread in task.threads:
        try:
            fd = os.open(f"/proc/{task.pid}/task/{thread.tid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Changed from None  # killed by somebody
        try:
            while data := os.read(fd, 1 << 16):
                found += map(int, data.split())
        finally:
            os.close(fd)
    return found
