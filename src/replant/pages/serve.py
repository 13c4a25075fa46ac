"""The server of a lazy restore: pages come when they are touched, and in the background, until all are there.

One thread does everything, because the kernel's protocol makes that right: while an event of an address space (a fork,
a mapping moved, unmapped or emptied) is not read, the kernel refuses to fill pages of it (EAGAIN); so what is filled
has always been decided with everything known. Areas that a process has emptied read as zeros, as they should.

A block that is damaged in the image is never given to anybody: its pages are poisoned, and who touches one gets SIGBUS.
The same becomes of all that is not loaded if the server itself fails.
"""

from __future__ import annotations

import os
import select
import time
from errno import EAGAIN, EEXIST, ENOENT, ENOMEM, ESRCH
from struct import unpack_from

from replant.abi import userfaultfd as uffd
from replant.errors import ImageError, TaskGone
from replant.model.invariants import PAGE
from replant.observe import procfs
from replant.pages.blocks import BLOCK
from replant.pages.watch import CLOSED, Log, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from replant.pages.blocks import Blocks
    from replant.pages.pending import Pending

    Piece = tuple[int, int, int]  # number of a space, start, end

WINDOW = 64 << 10  # what a fault brings
_PIECE = 512 << 10  # what is filled in one go; a fault waits for as long
_BACKOFF = 0.001
_LOWEST, _HIGHEST = 1 << 16, (1 << 47) - PAGE
_AT_ONCE = 256  # messages: a process that makes them faster than they are read must not have us to itself


class Space:
    """An address space that is being loaded; ``pid`` is for people, 0 for a child that was forked meanwhile."""

    __slots__ = ("fd", "number", "pending", "pid")

    def __init__(self, number: int, fd: int, pid: int, pending: Pending) -> None:
        self.number, self.fd, self.pid, self.pending = number, fd, pid, pending


class Server:
    """Loads ``spaces``, in the order of ``plan``; ``told`` is given what goes wrong, and whom it concerns."""

    def __init__(
        self,
        spaces: Iterable[Space],
        blocks: Blocks,
        plan: Iterable[Piece],
        told: Callable[[Exception, int], None],
    ) -> None:
        self.touched: list[int] = []
        self._spaces = list(spaces)
        self._blocks = blocks
        self._plan = iter(plan)
        self._told = told
        self._soon: list[Piece] = []
        self._faults: list[tuple[Space, int]] = []
        self._watch = Watch(self._catch_up)
        self._watched = -1
        self._by_fd: dict[int, Space] = {}

    def run(self, ready: Callable[[], None]) -> None:
        """Until everything is loaded, or gone; ``ready`` is called once a second process watches this one."""
        try:
            self._watched = self._watch.renew()
            ready()
            poll = self._poll()
            while any(space.fd >= 0 for space in self._spaces):
                count, watched = len(self._spaces), self._watched
                idle = self._step(poll)
                if idle:
                    time.sleep(_BACKOFF)
                if len(self._spaces) != count or self._watched != watched:
                    poll = self._poll()
        except Exception as e:
            self._poison_all()
            self._told(e, 0)
        self._watch.over()

    def _poll(self) -> select.poll:
        poll = select.poll()
        self._by_fd = {space.fd: space for space in self._spaces if space.fd >= 0}
        for fd in (self._watched, *self._by_fd):
            poll.register(fd, select.POLLIN)
        return poll

    def _step(self, poll: select.poll) -> bool:
        """Answer what is asked, then load a little; whether there was nothing that could be done at once."""
        for fd, _ in poll.poll(0):
            if fd == self._watched:
                self._watched = self._watch.renew()
            else:
                self._listen(self._by_fd[fd])
        if self._watch.log.full():
            self._watched = self._watch.renew()
        self._faults = [(space, page) for space, page in self._faults if not self._fault(space, page)]
        return not self._go_on()

    # what the kernel says

    def _listen(self, space: Space) -> bool:
        """Read what the kernel has to say of a space; whether that is all."""
        for _ in range(_AT_ONCE):
            message = self._watch.log.read(space.number, space.fd) if space.fd >= 0 else None
            if message is None:
                return True
            if message[0] == uffd.PAGEFAULT:
                self._faults.append((space, unpack_from("<Q", message, 16)[0] & -PAGE))
            else:
                self._heard(space, message)
        return False

    def _heard(self, space: Space, message: memoryview) -> None:
        if message[0] == uffd.FORK:
            (fd,) = unpack_from("<I", message, 8)
            child = Space(len(self._spaces), fd, 0, space.pending.copy())
            self._spaces.append(child)
            for start, end in _wiped(space.pid):
                child.pending.drop(start, end)
        elif message[0] == uffd.REMAP:
            space.pending.move(*unpack_from("<QQQ", message, 8))
        elif message[0] in (uffd.REMOVE, uffd.UNMAP):
            space.pending.drop(*unpack_from("<QQ", message, 8))

    def _catch_up(self, log: Log) -> None:
        """In the successor: all that the server had heard; who waits for a page asks again."""
        events = list(log.events())
        for place, (number, message) in enumerate(events):
            space = self._spaces[number]
            if message[0] != CLOSED:
                self._heard(space, message)
                continue
            if place == len(events) - 1:  # it may have died before it did so
                _close(space.fd)
            space.fd = -1
        for space in self._spaces:
            if space.fd >= 0:
                uffd.wake(space.fd, _LOWEST, _HIGHEST - _LOWEST)
        self._faults.clear()

    # what is done about it

    def _fault(self, space: Space, page: int) -> bool:
        """Bring the page that somebody waits for, and what is around it; whether that could be done at once."""
        if space.fd < 0:
            return True
        window = page & -WINDOW
        for start, end, at in space.pending.within(window, window + WINDOW):
            if start <= page < end:
                self.touched.append(at & -WINDOW)
                rest = end + BLOCK - (at + end - start) % BLOCK
                self._soon.append((space.number, end, rest))
                return self._load(space, start, end, at)
        error = uffd.zero(space.fd, page, PAGE)[1]
        if error in (EEXIST, ENOENT):  # it was brought for somebody else, or the mapping is gone: try again
            uffd.wake(space.fd, page, PAGE)
        elif error == ESRCH:
            self._close(space)
        return error not in (EAGAIN, ENOMEM)

    def _go_on(self) -> bool:
        """Load the next piece of what nobody waits for; False: it cannot be done now."""
        piece = self._soon.pop() if self._soon else next(self._plan, None)
        if piece is None:
            return self._rest()
        number, start, end = piece
        space, high = self._spaces[number], min(end, start + _PIECE)
        if high < end:
            self._soon.append((number, high, end))
        for low, until, at in space.pending.within(start, high):
            if not self._load(space, low, until, at):
                self._soon.append((number, low, high))
                return False
        return self._finished(space)

    def _rest(self) -> bool:
        """What the plan did not know: areas that were moved, children that were forked."""
        for space in self._spaces:
            if space.fd >= 0:
                done = not space.pending or self._load(space, *space.pending.first(_PIECE))
                return self._finished(space) and done
        return True

    def _finished(self, space: Space) -> bool:
        """Let go of a space that is complete: with its descriptor, every trace in its mappings goes."""
        complete = space.fd >= 0 and not space.pending
        if complete and self._listen(space) and not space.pending:  # a child may have been forked with a page missing
            self._close(space)
        return True

    def _load(self, space: Space, start: int, end: int, at: int) -> bool:
        """Fill an area from the store; False: the kernel has something to say before."""
        while start < end:
            size = min(end - start, BLOCK - at % BLOCK)
            try:
                source = self._blocks.place(at)
            except ImageError as e:
                self._told(e, space.pid)
                self._spoil(at // BLOCK)
                return True
            if not self._copy(space, start, source, size):
                return False
            start, at = start + size, at + size
        return True

    def _copy(self, space: Space, to: int, source: int, size: int) -> bool:
        while size > 0 and space.fd >= 0:
            done, error = uffd.copy(space.fd, to, source, size)
            if error == ENOENT and size > PAGE:  # not all of it lies in one mapping
                half = size // 2 & -PAGE
                return self._copy(space, to, source, half) and self._copy(space, to + half, source + half, size - half)
            if error == ENOENT:  # it may just have been moved: then there is something to be heard, which shows now
                done, error = uffd.copy(space.fd, to, source, size)
            if error in (EEXIST, ENOENT):  # loaded before our predecessor died; or not mapped any more
                uffd.wake(space.fd, to, PAGE)
                done = PAGE
            elif error == ESRCH:
                self._close(space)
            elif error in (EAGAIN, ENOMEM):
                return False
            elif error:
                raise OSError(error, os.strerror(error))
            space.pending.drop(to, to + done)
            to, source, size = to + done, source + done, size - done
        return True

    def _spoil(self, number: int) -> None:
        """Poison every page whose content is in a block."""
        for space in self._spaces:
            for start, end, at in list(space.pending):
                low, high = max(at, number * BLOCK), min(at + end - start, (number + 1) * BLOCK)
                if low < high and space.fd >= 0:
                    self._poison(space, start + low - at, start + high - at)

    def _poison_all(self) -> None:
        for space in self._spaces:
            for start, end, _ in list(space.pending):
                if space.fd >= 0:
                    self._poison(space, start, end)

    def _poison(self, space: Space, start: int, end: int) -> None:
        while start < end and space.fd >= 0:
            done, error = uffd.poison(space.fd, start, end - start)
            if error == EAGAIN:
                self._listen(space)
                time.sleep(_BACKOFF)
            elif error == ENOENT and end - start > PAGE:
                middle = start + (end - start) // 2 & -PAGE
                self._poison(space, start, middle)
                start = middle
                continue
            elif error == ESRCH:
                self._close(space)
            elif error:
                done = PAGE
            space.pending.drop(start, start + done)
            start += done

    def _close(self, space: Space) -> None:
        self._watch.log.closing(space.number)
        fd, space.fd = space.fd, -1
        _close(fd)
        space.pending.drop(0, 1 << 64)


def _wiped(pid: int) -> list[tuple[int, int]]:
    """What a child of a process gets empty (MADV_WIPEONFORK): the kernel says nothing of it."""
    try:
        return [(m.start, m.end) for m in procfs.maps(pid) if "wf" in (m.flags or "").split()] if pid else []
    except (OSError, TaskGone):
        return []  # the process is gone, and a child that is not has been forked by another


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass  # the predecessor did it
