"""Invisible copies of stopped processes: their memory at one instant, to be read when they run again.

A copy is what fork(2) makes, but nobody's child: the process forks a **maker**, which has the memory of the process
itself (CLONE_VM) and forks the copy; the maker is killed, and reaped by the process it came from. So the copy belongs
to init, or to the nearest subreaper outside of the tree, as a process whose parent has ended does; those inside of the
tree are none for that moment. The maker tells nobody of its end (exit signal 0), has left group, session and
descriptors behind, and the copy has none of them either. ::

    process ──FORK──> maker: setsid, close_range, clone ──> copy, which stops at birth and never runs its own code
       │                │ TRAP                                │
       │                ╳ killed                              │ read, then killed, by us
       └─wait4──────────┘                                     ╳ reaped by its heir

All are traced from birth on. If we die, each step that is not done yet does itself: a TRAP that nobody sees is passed
over, so the copy exits, the maker reaps the copy and exits, the process reaps the maker, and goes home. A copy whose
maker is gone already ends with us (PTRACE_O_EXITKILL).

What stays: the process's children have used more time (times(2)) by that of the fork, and the largest of them was as
large as itself (RUSAGE_CHILDREN).
"""

from __future__ import annotations

import os
from errno import ECHILD, ENOMEM, EPERM

from replant.abi import wait as status_of
from replant.abi import x86_64
from replant.abi.call import Call, Track
from replant.abi.ptrace import RBX
from replant.abi.signal import SIGKILL
from replant.errors import Blocker, ReplantError, TaskGone
from replant.journal import DEBUG, current, site

from . import blob, memory, ptrace, visit, wait
from .batch import RECORD, RET, CallFailed, encode
from .inside import Inside
from .questions import Questions
from .task import FrozenTask, FrozenThread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from types import TracebackType

_CLONE_PTRACE = 0x2000
_AS_MAKER = 0x500 | _CLONE_PTRACE  # CLONE_VM, CLONE_FILES; exit signal 0
_CLOSE_RANGE_UNSHARE = 2
_ALL = 0xFFFFFFFF
_PR_SET_CHILD_SUBREAPER = 36
_ABREAST = 64
_COPIED = site("copies", "process %p has a copy, process %p, made by process %p", level=DEBUG)
_NOT_COPIED = site("copies", "process %p has no copy: %s")


class Copies:
    """The copies of processes; they end with the ``with``, or with `end`.

    ``tasks``: the stopped copy of each process, by the pid of the process; `Inside` works with them.
    ``failed``: why there is none of a process, by its pid.
    """

    def __init__(self) -> None:
        self.tasks: dict[int, FrozenTask] = {}
        self.failed: dict[int, str] = {}

    def make(self, tasks: Sequence[FrozenTask], subreapers: Container[int]) -> None:
        """Copy living processes of a frozen tree; ``subreapers``: those that would get the orphans of others.

        :raises ReplantError: there is not enough memory. :raises TaskGone: a process was killed.
        """
        keepers = [task for task in tasks if task.pid in subreapers]
        others = [task for task in tasks if task.pid not in subreapers]
        held = [_Birth(task, True) for task in keepers]
        try:
            self._make(held)
            for first in range(0, len(others), _ABREAST):
                self._make_and_leave([_Birth(task, False) for task in others[first : first + _ABREAST]])
        finally:
            for birth in held:
                birth.close()

    def unmap(self, pid: int, mappings: Sequence[tuple[int, int]]) -> None:
        """Have the copy of a process give up mappings, as start and length, that somebody counts."""
        task = self.tasks[pid]
        calls = [Call(x86_64.munmap, *one, why="a mapping that is counted", ok=(EPERM,)) for one in mappings]
        with Inside(task) as inside:
            inside.ask(task.threads[0], calls)

    def end(self) -> None:
        """Kill the copies and see them go."""
        copies, self.tasks = [*self.tasks.values()], {}
        for copy in copies:
            _kill(copy.pid)
        for copy in copies:
            _await_end(copy.pid)

    def __enter__(self) -> Copies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _make_and_leave(self, births: Sequence[_Birth]) -> None:
        try:
            self._make(births)
            for birth in births:
                birth.inside.leave()
        finally:
            for birth in births:
                birth.close()

    def _make(self, births: Sequence[_Birth]) -> None:
        """Copy processes, all at the same time."""
        for step in _Birth.STEPS:
            for birth in births:
                if birth.task.pid not in self.failed:
                    self._do(step, birth)
        for birth in births:
            if birth.task.pid not in self.failed:
                _COPIED(current(), birth.task.pid, birth.copy, birth.maker)

    def _do(self, step: Callable[[_Birth], None], birth: _Birth) -> None:
        pid = birth.task.pid
        try:
            step(birth)
            if birth.copy and pid not in self.tasks:
                self.tasks[pid] = _as_task(birth.copy)
        except (Blocker, CallFailed) as error:
            if isinstance(error, CallFailed) and error.errno == ENOMEM:
                raise _no_memory(pid) from error
            self.failed[pid] = str(error)
            _NOT_COPIED(current(), pid, str(error))


class _Birth:
    """One copy on its way, step by step; a step leaves its work to the processes, so that many are at it."""

    def __init__(self, task: FrozenTask, subreaper: bool) -> None:
        self.task = task
        self.inside = Inside(task)
        self.maker = self.copy = 0
        self._maker_left = False  # whether the process still has the maker as its child
        self._subreaper = subreaper
        self._thread = task.threads[0]
        self._asked: Questions

    def enter(self) -> None:
        """Prepare the process."""
        signal = visit.trap_signal(self._thread)
        if not signal:
            raise Blocker("it leaves no signal that a copy could stop at", code="no-signal", pid=self.task.pid)
        if self._thread.field(b"Seccomp") != b"0":  # which is suspended as long as we live, and no longer
            raise Blocker("it is under seccomp, which could kill a maker", code="seccomp", pid=self.task.pid)
        track = Track("the process")
        if self._subreaper:
            track.call(x86_64.prctl, _PR_SET_CHILD_SUBREAPER, 0, why="orphans go elsewhere")
        maker = track.call(blob.FORK, _AS_MAKER, 0, 0, 0, 0, _making(signal), why="the maker of a copy")
        reap = Call(x86_64.wait4, maker, 0, wait.ALL, 0)
        self._asked = Questions(track.calls, [reap, *self._orphans_here()], track, why="a copy of the process")
        self.inside.enter(self._thread, self._asked.size)

    def begin(self) -> None:
        """Let the process fork its maker."""
        self.inside.start(self._thread, self._asked)

    def release_maker(self) -> None:
        """The maker has been born, and goes on to its work."""
        self.maker = self.inside.ask(self._thread, self._asked)[-1].ret
        self._maker_left = True
        wait.until_stopped(self.maker)
        ptrace.cont(self.maker)

    def take_copy(self) -> None:
        """The maker has done its work: the copy is there, and will not survive us."""
        wait.until_stopped(self.maker)
        at_trap = int.from_bytes(ptrace.getregs(self.maker)[RBX : RBX + 8], "little")
        made = int.from_bytes(memory.read(self.maker, at_trap - RECORD + RET, 8), "little", signed=True)
        if made == -ENOMEM:
            raise _no_memory(self.task.pid)
        if made < 0:
            raise Blocker(f"the copy could not be made: {os.strerror(min(-made, 133))}", pid=self.task.pid)
        wait.until_stopped(made)
        ptrace.set_options(made, ptrace.O_EXITKILL)
        self.copy = made

    def end_maker(self) -> None:
        """From now on the copy is nobody's."""
        _kill(self.maker)
        _await_end(self.maker)

    def reap_maker(self) -> None:
        """The process takes what is left of the maker."""
        self._maker_left = False
        calls = [Call(x86_64.wait4, self.maker, 0, wait.ALL, 0, why="what is left of the maker of a copy")]
        self.inside.ask(self._thread, Questions(calls, self._orphans_here()))

    STEPS = (enter, begin, release_maker, take_copy, end_maker, reap_maker)

    def close(self) -> None:
        """Take home the process, to which nothing has happened then, whatever step was the last one."""
        try:
            if self._maker_left:
                self.end_maker()
                self.reap_maker()
            if self._subreaper and self.maker:
                self.inside.ask(self._thread, self._orphans_here())
        except TaskGone:
            pass  # it needs nothing any more
        finally:
            self.inside.close()

    def _orphans_here(self) -> list[Call]:
        again = Call(x86_64.prctl, _PR_SET_CHILD_SUBREAPER, 1, why="orphans come here again")
        return [again] if self._subreaper else []


def _making(signal: int) -> bytes:
    """What a maker runs; and, if nobody sees the TRAP, its copy from behind the clone on."""
    calls = [
        Call(x86_64.setsid),
        Call(x86_64.close_range, 0, _ALL, _CLOSE_RANGE_UNSHARE),  # it gives up the table without closing anything
        Call(x86_64.clone, _CLONE_PTRACE, 0, 0, 0, 0),
    ]
    after = [Call(x86_64.wait4, -1, 0, wait.ALL, 0, ok=(ECHILD,)), Call(x86_64.exit_group, 0)]
    return bytes(encode(calls, 0, 0, trap=signal).records + encode(after, 0, 0).records)


def _as_task(pid: int) -> FrozenTask:
    task = FrozenTask(pid)
    thread = FrozenThread(task, pid)
    thread.load()
    task.threads.append(thread)
    return task


def _kill(pid: int) -> None:
    try:
        os.kill(pid, SIGKILL)
    except ProcessLookupError:
        pass


def _await_end(pid: int) -> None:
    try:
        while status_of.stopped(wait.for_task(pid)):
            pass
    except TaskGone:
        pass


def _no_memory(pid: int) -> ReplantError:
    return ReplantError(
        f"there is not enough memory for a copy of process {pid}",
        code="no-memory",
        pid=pid,
        hint="dump it without --snapshot: it is stopped for longer then, but needs no memory",
    )
