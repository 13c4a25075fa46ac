"""Dumps in rounds: most of the memory is copied while the tree runs, and only the rest once it is stopped for good.

In each round the tree is stopped for a moment, long enough to see what it has written since the last round, and to have
the next writes noted; that is copied while it runs on. What it writes meanwhile is copied again in the next round, or
in the last pause. Protection begins only while all are stopped: so no read(2) that goes past page tables (O_DIRECT) is
under way then. Who has such reads that are not bound to a thread (io_uring, aio) is left to the last pause.
"""

from __future__ import annotations

import time
from struct import Struct

from replant.abi import x86_64
from replant.abi.libc import syscall_raw
from replant.errors import ReplantError, TaskGone
from replant.flows.increments import Increment
from replant.journal import current, site
from replant.model.invariants import GUARD
from replant.model.places import split
from replant.model.tree import Mm, Vma
from replant.observe import procfs
from replant.pages.copy import copy
from replant.pages.scan import Scan, scan
from replant.tracee.freeze import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from replant.observe.procfs import Mapping
    from replant.pages.store import PageWriter
    from replant.tracee.freeze import Ends, FrozenTree

_ROUND = site("round", "round %d: %d KiB to copy, %d processes, stopped for %t; the next pause is expected to take %t")
_SPEED = 1 << 30  # bytes a second that the last pause is expected to copy, until a round has shown better
_LOOK = 0.008  # seconds of the last pause that are not copying
_PORTION = 4 << 20
_PUNCH_HOLE, _KEEP_SIZE = 2, 1
_PAST_PAGE_TABLES = ("anon_inode:[io_uring]", "/[aio]")
_row = Struct("<QQQ")


class Precopy(Increment):
    """What an image has already from rounds before the last pause; and from its ``parent``, as `Increment`.

    ``rounds`` have been gone through, the longest pause of which took ``longest`` ms.
    """

    rounds = 0
    longest = 0.0

    def __init__(self, root: int, parent: str, track: bool, output: str, ends: Ends | None) -> None:
        super().__init__(root, parent, track, output)
        self._root = root
        self._ends = ends
        self._begin = self._end = 0

    def prepare(self, store: PageWriter, most: int, until: float) -> None:
        """Go through rounds, ``most`` of them, or until the last pause is expected to take ``until`` ms at most.

        Raises as `freeze`, and if the storage does not take the pages.
        """
        self._begin = store.reserve(0)
        for number in range(1, most + 1):
            scans, stopped = self._pause()
            began = time.monotonic()
            for pid, found in scans.items():
                self._rows[pid] = _copied(pid, found, store)
            wanted = sum(found.bytes for found in scans.values())
            speed = max(_SPEED, wanted / max(time.monotonic() - began, 1e-6))
            expected = _LOOK + wanted / speed
            self.rounds, self.longest = number, max(self.longest, stopped / 1e6)
            _ROUND(current(), number, wanted >> 10, len(scans), stopped, int(expected * 1e9))
            if number > 1 and expected * 1e3 <= until:
                break
        self._end = store.size

    def _pause(self) -> tuple[dict[int, Scan], int]:
        """Stop the tree: what is to be copied, by process; and for how many ns it was stopped."""
        with freeze(self._root, self._ends) as frozen:
            mms = _spaces(frozen)
            known = self.scans(mms)
            scans = {mm.pid: known.get(mm.pid) or scan(mm.pid, mm.vmas) for mm in mms}
            self._tracking.begin({task.pid: task for task in frozen.tasks}, mms)
        tracked = self._tracking.fds
        self._rows = {pid: rows for pid, rows in self._rows.items() if pid in tracked}
        scans = {pid: found for pid, found in scans.items() if pid in tracked}
        return scans, frozen.last_release - frozen.first_stop

    def tidy(self, mms: Iterable[Mm], fd: int) -> None:
        """Give back the room of what was copied and then written again. :raises ReplantError: the storage fails."""
        used = sorted(
            (at, at + length)
            for mm in mms
            for _, length, at in _row.iter_unpack(mm.runs)
            if at != GUARD and not split(at)[0] and at < self._end
        )
        last = self._begin
        for start, end in (*used, (self._end, self._end)):
            if start > last:
                syscall_raw(x86_64.fallocate, fd, _PUNCH_HOLE | _KEEP_SIZE, last, start - last)  # or it stays
            last = max(last, end)


def _copied(pid: int, found: Scan, store: PageWriter) -> bytes:
    """The rows of a process that runs: those that are kept, and those that could be copied; the rest is for later."""
    rows = [found.kept[n : n + 3].tobytes() for n in range(0, len(found.kept), 3)]
    for portion in _portions(found.runs):
        try:
            done = copy(pid, portion, store)
        except TaskGone:
            return b""
        except ReplantError as error:
            if error.code != "memory-unreadable":
                raise
            continue  # it has been unmapped, and whatever comes there is new
        rows += [done[at : at + 24] for at in range(0, len(done), 24)]
    rows.sort(key=lambda row: int.from_bytes(row[:8], "little"))
    return b"".join(rows)


def _portions(runs: Sequence[int]) -> Iterator[Scan]:
    """Runs in scans of at most `_PORTION` bytes each, so that little is lost with one that is gone."""
    portion, size = Scan(), 0
    for start, length in zip(runs[0::2], runs[1::2], strict=True):
        for done in range(0, length, _PORTION):
            part = min(_PORTION, length - done)
            if size + part > _PORTION:
                yield portion
                portion, size = Scan(), 0
            portion.runs.extend((start + done, part))
            size += part
    if size:
        yield portion


def _spaces(frozen: FrozenTree) -> list[Mm]:
    """The anonymous private memory of stopped processes; without those that have it written past page tables."""
    found = []
    for task in frozen.tasks:
        mappings = procfs.maps(task.pid, vmflags=False) if not task.zombie else []
        if mappings and not any(m.path.startswith(_PAST_PAGE_TABLES) for m in mappings):
            found.append(Mm(task.pid, tuple(_anonymous(mappings))))
    return found


def _anonymous(mappings: Iterable[Mapping]) -> Iterator[Vma]:
    for m in mappings:
        if not m.shared and not m.inode and not m.path.startswith(("[v", "/")):
            yield Vma(m.start, m.end, m.prot, False, "", 0, "anon")
