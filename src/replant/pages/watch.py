"""Processes that take the place of the server if that dies, and lose nothing of what it knew.

A userfaultfd dies with its last descriptor, and then pages that were never loaded read as zeros, silently. So three
processes share one table of descriptors (CLONE_FILES): whatever the server gets, the kernel's descriptor of a forked
child included, its successors have in the same moment. A successor is a copy of the server, made when the watch begins,
and has a successor in turn. What the kernel tells the server later it reads straight into memory that all share: there
is no moment at which an event is taken from the kernel and lost by a kill. Who takes over catches up with these events,
makes itself successors, and goes on.
"""

from __future__ import annotations

import mmap
import os
import select

from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.abi.userfaultfd import MESSAGE, PAGEFAULT
from replant.errors import ReplantError
from replant.journal import forked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLOSED = 0xFF  # as an event: the server is about to close that userfaultfd
_NUMBER = 8
_ENTRY = _NUMBER + MESSAGE
_ENTRIES = 1 << 14
_CLONE_FILES, _SIGCHLD, _SIGKILL = 0x400, 17, 9
_PR_SET_NAME = 15
_SUCCESSORS = 2
_MOMENT = 500  # milliseconds


class Log:
    """Events as the kernel wrote them, each with the number of the userfaultfd it came from; shared memory."""

    __slots__ = ("_at", "_view")

    def __init__(self) -> None:
        self._view = memoryview(mmap.mmap(-1, _ENTRY * _ENTRIES))
        self._at = 0

    def read(self, number: int, fd: int) -> memoryview | None:
        """The next message of a userfaultfd, None if there is none. Faults are not kept: they are told again."""
        entry = self._view[self._at : self._at + _ENTRY]
        entry[:_NUMBER] = number.to_bytes(_NUMBER, "little")
        message = entry[_NUMBER:]
        try:
            os.readv(fd, [message])
        except BlockingIOError:
            return None
        if message[0] != PAGEFAULT:
            self._at += _ENTRY
        return message

    def closing(self, number: int) -> None:
        """Note that a userfaultfd is about to be closed."""
        entry = self._view[self._at : self._at + _ENTRY]
        entry[:_NUMBER] = number.to_bytes(_NUMBER, "little")
        entry[_NUMBER] = CLOSED
        self._at += _ENTRY

    def full(self) -> bool:
        """Whether there is room for few events only."""
        return self._at > _ENTRY * _ENTRIES // 2

    def events(self) -> Iterator[tuple[int, memoryview]]:
        """Everything that was noted, by whichever process, in order."""
        for at in range(0, len(self._view), _ENTRY):
            entry = self._view[at : at + _ENTRY]
            if entry[_NUMBER] == 0 or entry[_NUMBER] == PAGEFAULT:
                return
            yield int.from_bytes(entry[:_NUMBER], "little"), entry[_NUMBER:]


class Watch:
    """The successors of this process. ``catch_up(log)`` is called in one when it takes over, before it goes on."""

    def __init__(self, catch_up: Callable[[Log], None]) -> None:
        self._catch_up = catch_up
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)  # the watch that counts; 0: nobody is needed any more
        self._number = 0
        self._successor = 0
        self._fds: tuple[int, ...] = ()
        self.log = Log()

    def renew(self) -> int:
        """Make a copy of this process its successor, instead of the one before; a descriptor that tells of its end.

        The successor returns from here as well, when it has taken over.
        """
        before, former = self._successor, self._fds
        log, number = Log(), self._number + 1
        ours = os.pidfd_open(os.getpid())
        if not _lives(before):
            before = 0
            self._shared[:8] = number.to_bytes(8, "little")  # there is nobody else who could take over
        pid = _clone()
        if pid == 0:
            return self._wait((ours,), log, number)
        self._successor, self._fds = pid, (os.pidfd_open(pid), ours)
        self._number, self.log = number, log
        self._shared[:8] = number.to_bytes(8, "little")  # from here on it is the new one that takes over
        _end(before, former)
        return self._fds[0]

    def over(self) -> None:
        """Nobody is needed any more: the successor is gone when this returns, its own is about to go."""
        self._shared[:8] = bytes(8)
        _end(self._successor, self._fds)

    def _wait(self, elders: tuple[int, ...], log: Log, number: int) -> int:
        """In a successor: as long as one of those before it lives, and for ever if nobody is needed after them."""
        syscall(x86_64.prctl, _PR_SET_NAME, b"replant-watch")
        forked()
        ours, heir = os.pidfd_open(os.getpid()), 0
        while True:
            if len(elders) < _SUCCESSORS and not _lives(heir):
                heir = _clone()
                if heir == 0:
                    return self._wait((*elders, ours), log, number)
            if _has_ended(elders[-1]):
                break
        while self._counts(number) and not all(map(_has_ended, elders)):
            pass
        if not self._counts(number):
            os.close(elders[-1])  # of which nobody else knows, unless that is the server, which is gone
            os._exit(0)
        syscall(x86_64.prctl, _PR_SET_NAME, b"replant-lazy")
        self._successor, self._number = heir, number
        self._fds = (*elders, ours)
        self._catch_up(log)
        return self.renew()

    def _counts(self, number: int) -> bool:
        return int.from_bytes(self._shared[:8], "little") == number


def _has_ended(process: int) -> bool:
    """Whether a process has, by its descriptor; waits a moment for that."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(_MOMENT))


def _lives(child: int) -> bool:
    return child > 0 and not os.waitpid(child, os.WNOHANG)[0]


def _clone() -> int:
    """fork(2) with one table of descriptors for both."""
    try:
        return syscall(x86_64.clone, _CLONE_FILES | _SIGCHLD, 0, 0, 0, 0)
    except OSError as e:
        raise ReplantError(f"no process can be made to watch: {e.strerror}", code="no-process") from e


def _end(pid: int, fds: tuple[int, ...]) -> None:
    if pid:
        os.kill(pid, _SIGKILL)
        os.waitpid(pid, 0)
    for fd in fds:
        os.close(fd)
