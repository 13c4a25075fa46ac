"""Asking inside: system calls run by the threads of a live process, that has to survive our death at any instant.

Code of ours stands in the padding of the vDSO (`replant.tracee.vdso`), records and answers in an arena, a mapping that
the asked thread itself makes and unmaps. A thread is sent there by one PTRACE_SETREGS, and taken back by another; in
between it stops at the signal of a TRAP. If we are gone by then, there is no stop: the thread cleans up, unmaps the
arena, puts its mask and its registers back from a table in the padding, and goes on as if nothing had been.

Every step below leaves a state from which that works:

* the arena has one owner, a byte in the padding that only we write. The owner unmaps it, nobody else touches it;
* the next thread is in place before it becomes the owner, and the former leaves when it is not any more;
* a signal mask is blocked after a thread has been sent inside, and restored before it is taken back.

The threads themselves never see the arena: it is there only while all of them are stopped.
"""

from __future__ import annotations

import os
from struct import Struct
from time import monotonic_ns

from replant.abi import mman, x86_64
from replant.abi.libc import syscall_raw
from replant.abi.ptrace import SS
from replant.errors import Blocker, Bug, TaskGone
from replant.journal import current

from . import blob, ghosts, resume, vdso
from .batch import RECORD
from .memory import Memory
from .questions import ARENA, Questions
from .visit import Overslept, Visitor, refuse_frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from replant.abi.call import Answer, Call

    from .task import FrozenTask, FrozenThread

_PLACES = (ARENA, 0x2100_0000_0000, 0x3000_0000_0000, 0x1000_0000_0000)
_LEAST = 1 << 16
_PROT = mman.PROT_READ | mman.PROT_WRITE
_MAP = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_NORESERVE | mman.MAP_FIXED_NOREPLACE
_EEXIST = 17
_KCMP_VM = 1
_NOTHING = bytes(blob.END)
_open: list[Inside] = []
_table = Struct("<168s3Q").pack


class _Side:
    """One of the two ways home."""

    __slots__ = ("drop", "enter", "leave", "number", "table")

    def __init__(self, number: int, enter: int, drop: int, leave: int, table: int) -> None:
        self.number, self.enter, self.drop, self.leave, self.table = number, enter, drop, leave, table


_SIDES = (
    _Side(1, blob.ENTER_A, blob.DROP_A, blob.LEAVE_A, blob.TABLE_A),
    _Side(2, blob.ENTER_B, blob.DROP_B, blob.LEAVE_B, blob.TABLE_B),
)


class Inside:
    """The inside of one frozen process, from the first question to `close`; use it in a ``with``.

    `ask` is all that is needed. The other methods are its parts: `enter`, `start` and `leave` do not wait for the
    process, so that many can be at it while one is attended to.
    """

    def __init__(self, task: FrozenTask) -> None:
        if task.inside is not None:
            raise Bug(f"process {task.pid} is being asked already", pid=task.pid)
        self.task = task
        self._memory = Memory(task.pid)
        self._code = 0
        self._place = 0
        self._length = 0
        self._side = _SIDES[0]
        self._owner: Visitor | None = None
        self._mapping = self._unmapping = False
        self._started: tuple[FrozenThread, Questions, int] | None = None
        self._since = 0  # when, CLOCK_MONOTONIC in ns
        self._called: tuple[int, Sequence[int]] = (0, ())  # to map the arena, or to unmap it
        self._armed = 0, 0  # from where to where a program stands whose cleanup is still to run if we die
        self.refused: Blocker | None = None  # what `ask` will raise
        task.inside = self
        _open.append(self)

    def __enter__(self) -> Inside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, thread: FrozenThread, calls: Sequence[Call] | Questions) -> list[Answer]:
        """Run calls in a thread of the process; questions that were started for it are only waited for.

        :raises CallFailed: a call failed with an error that is not in its ``ok``; those after it did not run.
        :raises Blocker: nothing can be run inside this process.
        :raises TaskGone: it was killed.
        """
        if self.refused is not None:
            raise self.refused
        questions = calls if isinstance(calls, Questions) else Questions(calls)
        if self._started is None or self._started[:2] != (thread, questions):
            self.start(thread, questions)
        return self._collect()

    def enter(self, thread: FrozenThread, size: int) -> None:
        """Let a thread map an arena of at least ``size`` bytes, and own it. :raises Blocker:"""
        if not self._code:
            refuse_frozen(self.task.pid)
            self._code = self._look_for_room()
        self._length = max(_LEAST, size + mman.PAGE - 1 & -mman.PAGE)
        self._map(Visitor(thread, self._code), _PLACES[self._place])

    def start(self, thread: FrozenThread, questions: Questions) -> None:
        """Let a thread run questions; what was started before and not asked for is lost. Raises as `ask`."""
        self._settle()
        if self._owner is None or self._free(questions.size) + questions.size > self._length:
            self._go_out()
            self.enter(thread, questions.size)
            self._settle()
        owner = self._owner
        assert owner is not None
        at = self._arena
        if owner.thread is thread:
            at += self._free(questions.size)  # an armed cleanup stays whole until the thread is sent in again
            self._write(questions, at, owner, self._side)
            owner.send(self._side.enter, at)
        else:
            owner = self._hand_over(owner, thread, questions)
        first = at - self._arena
        self._armed = (first, first + questions.size) if questions.cleanup else (0, 0)
        self._started, self._since = (thread, questions, at), monotonic_ns()
        owner.run()

    def leave(self) -> None:
        """Let the owner unmap the arena."""
        self._settle()
        if self._owner is not None:
            home = self._code + self._side.leave
            self._called, self._since = (x86_64.munmap, (self._arena, self._length)), monotonic_ns()
            self._owner.call(*self._called, home, home)
            self._unmapping = True

    def close(self) -> None:
        """Leave the process as it was: no arena, no code of ours, all threads where they were."""
        if self.task.inside is not self:
            return
        self.task.inside = None
        try:
            self._go_out()
        except TaskGone:
            pass  # it needs nothing any more
        finally:
            self._memory.close()
            _open.remove(self)

    @property
    def _arena(self) -> int:
        return _PLACES[self._place]

    def _free(self, size: int) -> int:
        """Where in the arena a program of that size harms no armed one: before it, or behind it."""
        first, last = self._armed
        return 0 if size <= first else last

    def _look_for_room(self) -> int:
        """Where the blob will stand. Bytes that stand there already are those of a dumper that died."""
        code = vdso.base(self.task.pid, self._memory) + vdso.room()
        if self._memory.read(code, blob.END) != _NOTHING:
            self._refuse_company(code)
            ghosts.dispel(self.task, code)
        return code

    def _refuse_company(self, code: int) -> None:
        """See that the bytes are not ours, written for another process in the same address space (CLONE_VM)."""
        for other in _open:
            if other._code == code and syscall_raw(x86_64.kcmp, self.task.pid, other.task.pid, _KCMP_VM, 0, 0) == 0:
                raise Blocker(
                    f"process {self.task.pid} shares its memory with process {other.task.pid}",
                    code="shared-address-space",
                    pid=self.task.pid,
                    resource=f"process {other.task.pid}",
                    hint="wait until one of them has called execve or has ended",
                )

    def _map(self, owner: Visitor, place: int) -> None:
        self._side = _SIDES[0]
        image = bytearray(blob.IMAGE)
        image[blob.OWNER] = self._side.number
        image[blob.TABLE_A : blob.TABLE_B] = self._way_home(owner.thread)
        self._memory.write(self._code, image)
        self._owner = owner
        then, after_error = self._code + self._side.drop, self._code + self._side.leave
        self._called = x86_64.mmap, (place, self._length, _PROT, _MAP, -1, 0)
        self._since = monotonic_ns()
        owner.call(*self._called, then, after_error)
        self._mapping = True

    def _settle(self) -> None:
        """Wait for what is under way."""
        owner = self._owner
        if owner is None:
            return
        self._await(owner)
        while self._mapping:
            self._mapping = False
            result = owner.result()
            self._record(owner, result)
            if result != self._arena:
                owner.go_home()
                self._owner = None
                self._try_elsewhere(owner, -result)
                self._await(owner)

    def _record(self, owner: Visitor, result: int) -> None:
        """Put what maps or unmaps the arena into the journal; the programs in it are recorded by their own records."""
        pid, tid, allowed = self.task.pid, owner.thread.tid, result == -_EEXIST
        took = monotonic_ns() - self._since
        current().call(pid, tid, *self._called, result, ns=took, reason="an arena", allowed=allowed)

    def _await(self, owner: Visitor) -> None:
        try:
            owner.settle()
        except Overslept:
            self._owner = None
            self._mapping = self._unmapping = False
            raise

    def _try_elsewhere(self, owner: Visitor, error: int) -> None:
        """Map the arena at the next place, if the last one was taken."""
        if error == _EEXIST and self._place + 1 < len(_PLACES):
            self._place += 1
            self._map(owner, self._arena)
            return
        self._erase()
        raise Blocker(
            f"no memory can be mapped inside process {self.task.pid}: {os.strerror(error)}",
            code="no-arena",
            pid=self.task.pid,
            hint="is its RLIMIT_AS, RLIMIT_DATA or RLIMIT_MEMLOCK (with mlockall) used up?",
        )

    def _write(self, questions: Questions, at: int, owner: Visitor, side: _Side) -> None:
        self._memory.write(at, questions.program(at, owner.signal, self._code + side.drop))

    def _hand_over(self, former: Visitor, thread: FrozenThread, questions: Questions) -> Visitor:
        """Make another thread the owner of the arena, and send the former owner home."""
        owner = Visitor(thread, self._code)
        side = _SIDES[self._side.number % 2]
        try:
            if self._armed[1]:
                former.send(self._side.drop)
            self._memory.write(self._code + side.table, self._way_home(thread))
            self._write(questions, self._arena, owner, side)
            owner.send(side.enter, self._arena)
            self._memory.write(self._code + blob.OWNER, bytes((side.number,)))
            self._side, self._owner = side, owner
            former.go_home()
        except BaseException:  # both may be inside, and only the owner is taken home by `close`
            (former if self._owner is owner else owner).go_home()
            raise
        return owner

    def _collect(self) -> list[Answer]:
        assert self._started is not None
        self._settle()
        (thread, questions, at), self._started = self._started, None
        program = self._memory.read(at, questions.size)
        records = memoryview(program)[: RECORD * len(questions.calls)]
        pid, took = self.task.pid, monotonic_ns() - self._since
        current().batch(pid, thread.tid, records, ns=took, reason=questions.why)
        return questions.answers(at, program, pid)

    def _go_out(self) -> None:
        """Let the owner unmap the arena, if it has not yet, and take it home."""
        if not self._unmapping:
            self.leave()
        owner, self._owner, self._unmapping = self._owner, None, False
        if owner is None:
            return
        self._await(owner)
        result = owner.result()
        self._record(owner, result)
        owner.go_home()
        self._erase()
        self._armed, self._started = (0, 0), None
        if result:
            message = f"the arena in process {self.task.pid} could not be unmapped: {os.strerror(-result)}"
            raise Bug(message, pid=self.task.pid)

    def _way_home(self, thread: FrozenThread) -> bytes:
        registers = resume.in_user_mode(thread)
        return _table(registers[: SS + 8], thread.sigmask, self._arena, self._length)

    def _erase(self) -> None:
        self._memory.write(self._code, _NOTHING)
