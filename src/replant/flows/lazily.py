"""A lazy restore: which pages come later, and the process that brings them.

Later come the pages of private anonymous areas that are worth it. At once come those of small areas, of files mapped
privately (userfaultfd(2) takes no such mapping), of areas that are locked, grow down or are wiped in a forked child,
and those that the kernel may drop.

The process that brings them is forked by the worker while the tree's tasks are still its stubs, and outlives it. It
keeps nothing of the restore but the page store and the userfaultfds.
"""

from __future__ import annotations

import os
from errno import EEXIST, EINVAL, ENOSYS, EPERM
from struct import iter_unpack, pack

from replant.abi import userfaultfd as uffd
from replant.abi import x86_64
from replant.abi.call import Track
from replant.abi.libc import address, syscall
from replant.errors import Blocker, ReplantError
from replant.flows import touched
from replant.flows.heritage import suits
from replant.image import sums
from replant.journal import current
from replant.journal.known import DECISION
from replant.model.invariants import GUARD, PAGE
from replant.pages.blocks import BLOCK, Blocks
from replant.pages.kin import WORTH
from replant.pages.pending import Pending
from replant.pages.rows import by_mapping
from replant.pages.serve import Server, Space

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from replant.execute.arena import Arena
    from replant.image.container import Image
    from replant.model.tree import Mm, Model
    from replant.pages.pending import Area
    from replant.pages.serve import Piece

_GAP = 1 << 20  # between pages of one area: so much is registered with them, more splits the mapping
_FEATURES = uffd.EVENT_FORK | uffd.EVENT_REMAP | uffd.EVENT_REMOVE | uffd.EVENT_UNMAP | uffd.CAN_POISON
_F_DUPFD, _PR_SET_NAME, _SIG_BLOCK = 0, 15, 0
_ALL_DESCRIPTORS = 0xFFFFFFFF
_THREADS = 4


class Lazy:
    """What comes later of the tree of ``model``; ``now`` is the model without it.

    ``working_set`` is the file that says what is wanted first, and is told; ``""`` for none. ``words``: whether there
    is somebody on standard error to be told what goes wrong.
    """

    def __init__(self, image: Image, model: Model, working_set: str, words: bool) -> None:
        self._image, self._words = image, words
        self._touched = touched.Touched(working_set, image.identity) if working_set else None
        self._areas: dict[int, list[Area]] = {}
        self._spans: dict[int, list[tuple[int, int]]] = {}
        self._fds: dict[int, int] = {}
        self._openings: dict[Track, int] = {}
        self._ready = -1
        self.now = model._replace(mms=tuple(self._split(mm) for mm in model.mms))

    @property
    def bytes(self) -> int:
        """How much comes later."""
        return sum(end - start for areas in self._areas.values() for start, end, _ in areas)

    def blocks(self) -> set[int]:
        """The blocks of the page store that hold nothing else: they are checked when they are needed."""
        rows = sorted((at, at + end - start) for areas in self._areas.values() for start, end, at in areas)
        found: set[int] = set()
        low = high = 0
        for start, end in [*rows, (1 << 64, 1 << 64)]:
            if start > high:
                found.update(range(-(-low // BLOCK), high // BLOCK))
                low = start
            high = max(high, end)
        return found

    def _split(self, mm: Mm) -> Mm:
        now: list[tuple[int, int, int]] = []
        areas: list[Area] = []
        spans: list[tuple[int, int]] = []
        for vma, rows in zip(mm.vmas, by_mapping(mm.vmas, iter_unpack("<QQQ", mm.runs)), strict=True):
            if suits(vma) and sum(length for _, length, at in rows if at != GUARD) >= WORTH:
                later = [(start, start + length, at) for start, length, at in rows if at != GUARD]
                now += [row for row in rows if row[2] == GUARD]
                areas += later
                spans += _joined(later)
            else:
                now += rows
        if areas:
            self._areas[mm.pid], self._spans[mm.pid] = areas, spans
            size = sum(end - start for start, end, _ in areas)
            DECISION(current(), mm.pid, f"{size} bytes of its pages come later", "the restore is lazy")
        return mm._replace(runs=b"".join(pack("<QQQ", *row) for row in now))

    # while the tree is made

    def opening(self, pid: int, lowest: int) -> Track | None:
        """Calls by which a process opens its userfaultfd, above ``lowest``; None if all of its pages come at once."""
        if pid not in self._areas:
            return None
        on = Track(str(pid))
        fd = on.call(x86_64.userfaultfd, os.O_CLOEXEC | os.O_NONBLOCK, why="pages come later")
        on.call(x86_64.fcntl, fd, _F_DUPFD, lowest, why="pages come later")
        on.call(x86_64.close, fd, why="raised")
        self._openings[on] = pid
        return on

    def opened(self, track: Track) -> None:
        """A track has run: if it was one of `opening`, the userfaultfd is fetched. The process closes its own."""
        pid = self._openings.pop(track, 0)
        if pid:
            pidfd = os.pidfd_open(pid)
            fd = syscall(x86_64.pidfd_getfd, pidfd, track.answers[1].ret, 0)
            os.close(pidfd)
            uffd.api(fd, _FEATURES)
            self._fds[pid] = fd

    def _register(self) -> None:
        for pid, spans in self._spans.items():
            for start, end in spans:
                uffd.register(self._fds[pid], start, end - start)

    def begin(self, arena: Arena) -> None:
        """All mappings stand: missing pages are told from now on, and the server starts."""
        self._register()
        if not self._fds:
            return
        sums.digest(b"")  # what that imports, the server has then
        self._ready, ready = os.pipe2(os.O_CLOEXEC)
        if os.fork() == 0:
            try:
                arena.close()
                _apart([ready, *self._image.descriptors(), *self._fds.values()], self._words)
                self._serve(ready)
            finally:
                os._exit(0)
        os.close(ready)

    def until_ready(self) -> None:
        """Wait until the server has a second process that watches it: the tree may run from then on."""
        if self._ready >= 0 and not os.read(self._ready, 1):
            raise ReplantError("the process that brings pages has ended", code="lazy-server", hint="is memory short?")

    # in the server

    def _serve(self, ready: int) -> None:
        pids = list(self._fds)
        spaces = [Space(n, self._fds[pid], pid, Pending(self._areas[pid])) for n, pid in enumerate(pids)]
        first = self._touched.load() if self._touched else []
        plan = _plan([self._areas[pid] for pid in pids], first)
        server = Server(spaces, Blocks(self._image.fetch), plan, self._tell)
        server.run(lambda: _say(ready))
        if self._touched:
            self._touched.save([*first, *server.touched])

    def _tell(self, error: Exception, pid: int) -> None:
        from replant.flows.lazy_words import tell

        tell(error, pid, self._image.path, self._words)


class Unfolding(Lazy):
    """The same for a restore that is not lazy, of an image whose page store is in frames.

    What is much is unfolded straight into the processes, by several threads, before they run; the rest, and what files
    hold, by way of a file in memory.
    """

    def __init__(self, image: Image, model: Model) -> None:
        super().__init__(image, model, "", words=False)

    @property
    def bytes(self) -> int:
        """Nothing comes later."""
        return 0

    def begin(self, arena: Arena) -> None:
        """Fill everything that was left out."""
        self._register()
        fds, areas = list(self._fds.values()), [self._areas[pid] for pid in self._fds]
        work = iter(_by_block(areas))
        sums.in_threads([lambda: self._unfold(work, fds)] * min(_THREADS, len(os.sched_getaffinity(0))))
        for fd in fds:
            os.close(fd)

    def until_ready(self) -> None:
        """It is."""

    def _overwrite(self, space: int, to: int, page: memoryview) -> int:
        with open(f"/proc/{list(self._fds)[space]}/mem", "wb", buffering=0) as memory:
            return os.pwrite(memory.fileno(), page, to)

    def _unfold(self, work: Iterator[tuple[int, list[tuple[int, int, int, int]]]], fds: list[int]) -> None:
        memory = memoryview(bytearray(BLOCK))
        here = address(memory)
        for number, parts in work:
            self._image.fetch(number, memory)
            for space, to, inside, length in parts:
                while length:
                    done, error = uffd.copy(fds[space], to, here + inside, length)
                    if error == EEXIST:  # a page is there, to which nobody has written
                        done, error = self._overwrite(space, to, memory[inside : inside + PAGE]), 0
                    if error:
                        raise OSError(error, f"pages at {to:x} cannot be filled: {os.strerror(error)}")
                    to, inside, length = to + done, inside + done, length - done


def blocker() -> Blocker | None:
    """What stands against a lazy restore on this host."""
    fd = -1
    try:
        fd = syscall(x86_64.userfaultfd, os.O_CLOEXEC | os.O_NONBLOCK)
        uffd.api(fd, _FEATURES)
    except OSError as e:
        why = {EPERM: "that is not allowed", ENOSYS: "the kernel has none", EINVAL: "the kernel is older than 6.6"}
        return Blocker(
            f"pages cannot come later, by userfaultfd: {why.get(e.errno or 0, e.strerror)}",
            code="no-lazy",
            resource="userfaultfd",
            hint="restore without --lazy, or with CAP_SYS_PTRACE",
        )
    finally:
        if fd >= 0:
            os.close(fd)
    return None


def _joined(areas: list[Area]) -> list[tuple[int, int]]:
    """The spans of one mapping that are registered: its areas, with small gaps between them."""
    spans: list[tuple[int, int]] = []
    for start, end, _ in areas:
        if spans and start - spans[-1][1] <= _GAP:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _plan(spaces: list[list[Area]], first: list[int]) -> list[Piece]:
    """All areas in the order of the store, block by block; before them what lies at the offsets of ``first``."""
    pieces: list[tuple[int, Piece]] = []
    wanted: list[tuple[int, Piece]] = []
    ranks = {at: rank for rank, at in reversed([*enumerate(first)])}
    for number, areas in enumerate(spaces):
        for area in areas:
            pieces += _cut(number, area, BLOCK)
            if ranks:
                windows = _cut(number, area, touched.WINDOW)
                wanted += [(ranks[w * touched.WINDOW], p) for w, p in windows if w * touched.WINDOW in ranks]
    return [piece for _, piece in (*sorted(wanted), *sorted(pieces))]


def _by_block(spaces: list[list[Area]]) -> list[tuple[int, list[tuple[int, int, int, int]]]]:
    """The blocks of the store, and what of each belongs where: space, address, offset in the block, length."""
    found: dict[int, list[tuple[int, int, int, int]]] = {}
    for number, areas in enumerate(spaces):
        for start, end, at in areas:
            for block, (_, low, high) in _cut(number, (start, end, at), BLOCK):
                found.setdefault(block, []).append((number, low, (at + low - start) % BLOCK, high - low))
    return sorted(found.items())


def _cut(number: int, area: Area, size: int) -> Iterator[tuple[int, Piece]]:
    """An area in pieces that lie in one stretch of ``size`` of the store each, with the numbers of these."""
    start, end, at = area
    while start < end:
        length = min(end - start, size - at % size)
        yield at // size, (number, start, start + length)
        start, at = start + length, at + length


def _apart(keep: list[int], words: bool) -> None:
    """Become a process of its own, with nothing of the restore: no session, directory, descriptor or terminal.

    No signal but SIGKILL ends it, or its successors, which would get the same one: ``pkill``, the end of a login.
    """
    os.setsid()
    syscall(x86_64.rt_sigprocmask, _SIG_BLOCK, b"\xff" * 8, 0, 8)
    os.chdir("/")
    syscall(x86_64.prctl, _PR_SET_NAME, b"replant-lazy")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1) if words else (0, 1, 2):
        os.dup2(null, fd)
    last = 2
    for fd in sorted(keep):
        if fd > last + 1:
            syscall(x86_64.close_range, last + 1, fd - 1, 0)
        last = fd
    syscall(x86_64.close_range, last + 1, _ALL_DESCRIPTORS, 0)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:  # if memory is short somebody else goes first
            file.write("-1000")
    except OSError:
        pass  # not allowed: the watch is there


def _say(fd: int) -> None:
    """A byte for the worker. The descriptor stays: a successor that says it again must not meet another there."""
    try:
        os.write(fd, b"1")
    except OSError:
        pass  # it has read one and is gone
