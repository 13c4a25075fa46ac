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

from replant.abi import mman, x86_64
from replant.abi.ptrace import SS
from replant.errors import Blocker, Bug, TaskGone

from . import blob, ghosts, resume, vdso
from .memory import Memory
from .questions import Questions
from .visit import Visitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from replant.abi.call import Answer, Call

    from .task import FrozenTask, FrozenThread

# far from where the kernel places anything; the same in every process, so that questions are encoded once
_PLACES = (0x2000_0000_0000, 0x2100_0000_0000, 0x3000_0000_0000, 0x1000_0000_0000)
_LEAST = 1 << 16
_PROT = mman.PROT_READ | mman.PROT_WRITE
_MAP = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_NORESERVE | mman.MAP_FIXED_NOREPLACE
_EEXIST = 17
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
    """The inside of one frozen process, from the first `ask` to `close`; use it in a ``with``."""

    def __init__(self, task: FrozenTask) -> None:
        self.pid = task.pid
        self._task = task
        self._memory = Memory(task.pid)
        self._code = 0
        self._arena = self._length = 0
        self._side = _SIDES[0]
        self._visitor: Visitor | None = None
        self._armed = 0  # where a program ends whose cleanup is still to run if we die

    def __enter__(self) -> Inside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, thread: FrozenThread, calls: Sequence[Call] | Questions) -> list[Answer]:
        """Run calls in a thread of the process.

        :raises CallFailed: a call failed with an error that is not in its ``ok``; those after it did not run.
        :raises Blocker: nothing can be run inside this process.
        :raises TaskGone: it was killed.
        """
        questions = calls if isinstance(calls, Questions) else Questions(calls)
        if self._visitor is None or self._armed + questions.size > self._length:
            self._leave()
            visitor = self._enter(thread, questions.size)
        else:
            visitor = self._visitor
        if visitor.thread is thread:
            at = self._again(visitor, questions)
        else:
            at, visitor = self._hand_over(visitor, thread, questions)
        self._armed = at - self._arena + questions.size if questions.cleanup else 0
        visitor.run()
        return questions.answers(at, self._memory.read(at, questions.size), self.pid)

    def close(self) -> None:
        """Leave the process as it was: no arena, no code of ours, all threads where they were."""
        try:
            self._leave()
        except TaskGone:
            pass  # it needs nothing any more
        finally:
            self._memory.close()

    def _enter(self, thread: FrozenThread, size: int) -> Visitor:
        """Let a thread map the arena, and own it."""
        self._code = self._code or self._look_for_room()
        self._length = max(_LEAST, size + mman.PAGE - 1 & -mman.PAGE)
        self._side = _SIDES[0]
        for self._arena in _PLACES:
            image = bytearray(blob.IMAGE)
            image[blob.OWNER] = self._side.number
            image[blob.TABLE_A : blob.TABLE_B] = self._way_home(thread)
            self._memory.write(self._code, image)
            visitor = Visitor(thread, self._code)
            arguments = (self._arena, self._length, _PROT, _MAP, -1, 0)
            then, after_error = self._code + self._side.drop, self._code + self._side.leave
            result = visitor.once(x86_64.mmap, arguments, then, after_error)
            if result == self._arena:
                self._visitor = visitor
                return visitor
            visitor.go_home()
            if result != -_EEXIST:
                break
        self._erase()
        raise Blocker(
            f"no memory can be mapped inside process {self.pid}: {os.strerror(-result)}",
            code="no-arena",
            pid=self.pid,
            hint="is its RLIMIT_AS or RLIMIT_MEMLOCK (with mlockall) used up?",
        )

    def _look_for_room(self) -> int:
        """Where the blob will stand. Bytes that stand there already are those of a dumper that died."""
        code = vdso.base(self.pid, self._memory) + vdso.room()
        if any(self._memory.read(code, blob.END)):
            ghosts.dispel(self._task, code)
        return code

    def _again(self, visitor: Visitor, questions: Questions) -> int:
        """Send the owner in once more. An armed cleanup stays whole until that very moment."""
        at = self._arena + self._armed
        self._memory.write(at, questions.program(at, visitor.signal, self._code + self._side.drop))
        visitor.send(self._side.enter, at)
        return at

    def _hand_over(self, former: Visitor, thread: FrozenThread, questions: Questions) -> tuple[int, Visitor]:
        """Make another thread the owner of the arena, and send the former owner home."""
        before = self._side
        if self._armed:
            former.send(before.drop)
        side = _SIDES[before.number % 2]
        visitor = Visitor(thread, self._code)
        program = questions.program(self._arena, visitor.signal, self._code + side.drop)
        self._memory.write(self._code + side.table, self._way_home(thread))
        self._memory.write(self._arena, program)
        visitor.send(side.enter, self._arena)
        self._memory.write(self._code + blob.OWNER, bytes((side.number,)))
        self._side, self._visitor = side, visitor
        former.go_home()
        return self._arena, visitor

    def _leave(self) -> None:
        """Let the owner unmap the arena, and go home."""
        visitor, self._visitor = self._visitor, None
        if visitor is None:
            return
        visitor.settle()
        home = self._code + self._side.leave
        result = visitor.once(x86_64.munmap, (self._arena, self._length), home, home)
        visitor.go_home()
        self._erase()
        self._armed = self._length = 0
        if result:
            raise Bug(f"the arena in process {self.pid} could not be unmapped: {os.strerror(-result)}", pid=self.pid)

    def _way_home(self, thread: FrozenThread) -> bytes:
        registers = resume.in_user_mode(thread)
        return _table(registers[: SS + 8], thread.sigmask, self._arena, self._length)

    def _erase(self) -> None:
        self._memory.write(self._code, bytes(blob.END))


def ask(thread: FrozenThread, calls: Sequence[Call] | Questions) -> list[Answer]:
    """`Inside.ask` of a process that is asked but once."""
    with Inside(thread.task) as inside:
        return inside.ask(thread, calls)
