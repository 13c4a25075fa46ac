"""Rows of `Mm.runs`, unpacked, as sets of pages.

A row is an address, a length and a place (`replant.model.places`). Lists are sorted by address and without overlap; a
page is in two of them if both have the same place for its address.
"""

from __future__ import annotations

from array import array
from struct import iter_unpack

from replant.model.invariants import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from replant.model.tree import Vma

    Row = tuple[int, int, int]

_END = (1 << 64, 1, 0)


def unpacked(runs: bytes) -> list[Row]:
    """The rows of `Mm.runs`."""
    return [*iter_unpack("<QQQ", runs)]


def packed(rows: Iterable[Row]) -> bytes:
    """Rows as `Mm.runs` has them."""
    return array("Q", [number for row in rows for number in row]).tobytes()


def contents(rows: Iterable[Row]) -> list[Row]:
    """All rows but those of guard pages, which have no contents."""
    return [row for row in rows if row[2] != GUARD]


def size(rows: Iterable[Row]) -> int:
    """How many bytes they are."""
    return sum(length for _, length, _ in rows)


def by_mapping(vmas: Iterable[Vma], rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows of each of ``vmas``, which are in order; no row lies across the end of one."""
    rest = iter(rows)
    row = next(rest, _END)
    for vma in vmas:
        found = []
        while row[0] < vma.end:
            if row[0] >= vma.start:
                found.append(row)
            row = next(rest, _END)
        yield found


def joined(some: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """The pages of both, which have no address in common."""
    return sorted([*some, *others])


def within(rows: Iterable[Row], start: int, end: int) -> list[Row]:
    """The pages between two addresses."""
    found = []
    for at, length, place in rows:
        low, high = max(at, start), min(at + length, end)
        if low < high:
            found.append((low, high - low, place + low - at))
    return found


def common(some: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """The pages that are in both."""
    return [row for row, is_same in _met(some, others) if is_same]


def different(some: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """The pages at whose addresses ``others`` has another one."""
    return [row for row, is_same in _met(some, others) if not is_same]


def without(some: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """The pages at whose addresses ``others`` has none."""
    found = []
    met = iter([row for row, _ in _met(some, others)])
    start, length, _ = next(met, _END)
    for first, size, place in some:
        at, end = first, first + size
        while start < end:
            if at < start:
                found.append((at, start - at, place + at - first))
            at = start + length
            start, length, _ = next(met, _END)
        if at < end:
            found.append((at, end - at, place + at - first))
    return found


def _met(some: Iterable[Row], others: Iterable[Row]) -> Iterator[tuple[Row, bool]]:
    """The parts of ``some`` at whose addresses ``others`` has pages, and whether these are from the same place."""
    rest = iter(others)
    start, length, place = next(rest, _END)
    for first, size, at in some:
        end = first + size
        while start < end:
            low, high = max(first, start), min(end, start + length)
            if low < high:
                yield (low, high - low, at + low - first), at - first == place - start
            if start + length > end:
                break
            start, length, place = next(rest, _END)
