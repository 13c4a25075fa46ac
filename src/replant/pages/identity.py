"""No page twice: pages that are equal, in one process or in several, stand in the store once.

Forked workers have most of their pages in common, also those that each has written for itself: of ten Python workers,
seven pages out of eight. The store is gone through once, after the tree runs on; what is new moves down, the rest is
left out, so that the file has no holes. Two pages count as equal if their bytes are: checksums only say where to look.
"""

from __future__ import annotations

import os
from array import array
from itertools import groupby
from struct import iter_unpack

from replant.errors import ReplantError
from replant.model.invariants import GUARD, PAGE
from replant.model.places import split
from replant.progress import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from replant.model.tree import Mm

    Row = tuple[int, int, int]

_WORTH = 32 << 20  # below, a fraction of a second is more than the room
_CHUNK = 2 << 20


def promises(mms: Sequence[Mm]) -> bool:
    """Whether several processes have so many pages that it is worth going through them."""
    sizes = [sum(size for _, size, _ in _own(mm)) for mm in mms]
    return sum(size > 0 for size in sizes) > 1 and sum(sizes) >= _WORTH


def merge(mms: Sequence[Mm], fd: int, digest: Callable[[memoryview], object]) -> tuple[Mm, ...]:
    """The address spaces of a tree with equal pages in one place; the file behind ``fd`` ends with the last one.

    ``digest`` is a checksum. Where the file has something else behind the first page, nothing is changed.
    :raises ReplantError: the storage fails.
    """
    start = _begin(mms, os.fstat(fd).st_size)
    if start < 0:
        return tuple(mms)
    work = _Merging(fd, start, digest)
    rows = sorted((at, number, to, size) for number, mm in enumerate(mms) for to, size, at in _own(mm))
    found: list[list[Row]] = [[row for row in iter_unpack("<QQQ", mm.runs) if not _is_own(row)] for mm in mms]
    try:
        for at, number, to, size in rows:
            found[number] += _joined(work.run(to, size, at))
            show("comparing", at + size, rows[-1][0] + rows[-1][3])
        os.ftruncate(fd, work.end)
    except OSError as e:
        raise ReplantError(f"the page store cannot be rewritten: {e.strerror}", code="storage-failed") from e
    return tuple(mm._replace(runs=_packed(own)) for mm, own in zip(mms, found, strict=True))


def _joined(rows: Iterable[Row]) -> list[Row]:
    """Rows out of one, which lies in one mapping, joined where address and place both go on."""
    joined: list[Row] = []
    for start, size, at in rows:
        last = joined[-1] if joined else (0, 0, 0)
        if start == last[0] + last[1] and at == last[2] + last[1]:
            joined[-1] = (last[0], last[1] + size, last[2])
        else:
            joined.append((start, size, at))
    return joined


def _is_own(row: Row) -> bool:
    return row[2] != GUARD and split(row[2])[0] == 0


def _own(mm: Mm) -> list[Row]:
    """The rows of pages in the image's own store."""
    return [row for row in iter_unpack("<QQQ", mm.runs) if _is_own(row)]


def _begin(mms: Sequence[Mm], end: int) -> int:
    """Where pages begin, if from there to the end of the store there is nothing else; else -1."""
    rows = sorted((at, at + size) for mm in mms for _, size, at in _own(mm))
    begin = rows[0][0] if rows else end
    dense = all(stop == start for (_, stop), (start, _) in zip(rows, [*rows[1:], (end, end)], strict=True))
    return begin if dense else -1


class _Merging:
    """One way through the store; ``end`` is where the next new page goes, never behind the one that is looked at."""

    def __init__(self, fd: int, start: int, digest: Callable[[memoryview], object]) -> None:
        self.end = start
        self._fd, self._digest = fd, digest
        self._places: dict[object, int] = {}
        self._ours, self._theirs = memoryview(bytearray(_CHUNK)), memoryview(bytearray(_CHUNK))

    def run(self, to: int, size: int, at: int) -> Iterator[Row]:
        """The rows that a row becomes."""
        for done in range(0, size, _CHUNK):
            yield from self._chunk(to + done, min(_CHUNK, size - done), at + done)

    def _chunk(self, to: int, size: int, at: int) -> Iterator[Row]:
        view = _read(self._fd, self._ours[:size], at)
        sums = [self._digest(view[n : n + PAGE]) for n in range(0, size, PAGE)]
        for place, pages in groupby(enumerate(sums), key=self._shift):
            numbers = [n for n, _ in pages]
            low, high = numbers[0] * PAGE, (numbers[-1] + 1) * PAGE
            if place is None or not self._equal(view[low:high], place + low):
                yield to + low, high - low, self._keep(view[low:high], sums[numbers[0] : numbers[-1] + 1], at + low)
            else:
                yield to + low, high - low, place + low

    def _shift(self, page: tuple[int, object]) -> int | None:
        """How far from its place in the chunk an equal page stands; None: there is none yet."""
        known = self._places.get(page[1])
        return None if known is None else known - page[0] * PAGE

    def _equal(self, view: memoryview, at: int) -> bool:
        return _read(self._fd, self._theirs[: len(view)], at) == view

    def _keep(self, view: memoryview, sums: Sequence[object], at: int) -> int:
        place, self.end = self.end, self.end + len(view)
        if place != at:
            done = 0
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], place + done)
        for number, one in enumerate(sums):
            self._places.setdefault(one, place + number * PAGE)
        return place


def _read(fd: int, view: memoryview, at: int) -> memoryview:
    done = 0
    while done < len(view):
        count = os.preadv(fd, [view[done:]], at + done)
        if not count:
            raise OSError(5, f"the page store ends at {at + done}")
        done += count
    return view


def _packed(rows: list[Row]) -> bytes:
    return array("Q", [number for row in sorted(rows) for number in row]).tobytes()
