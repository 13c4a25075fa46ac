"""What of an address space is not loaded yet: areas, and where each stands in the page store.

Areas are disjoint and in order of address. A page that is in none of them is either there already or gone for good, and
reads as zeros if it is touched.
"""

from __future__ import annotations

from _bisect import bisect_left, bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Area = tuple[int, int, int]  # start, end, offset of the start in the store


class Pending:
    """A set of areas; everything in bytes and multiples of a page."""

    __slots__ = ("_areas",)

    def __init__(self, areas: Iterable[Area] = ()) -> None:
        self._areas = list(areas)

    def __bool__(self) -> bool:
        return bool(self._areas)

    def __iter__(self) -> Iterator[Area]:
        return iter(self._areas)

    def copy(self) -> Pending:
        """The same areas: what a forked child begins with."""
        return Pending(self._areas)

    def first(self, most: int) -> Area:
        """The beginning of the first area, ``most`` bytes of it at most."""
        start, end, at = self._areas[0]
        return start, min(end, start + most), at

    def within(self, start: int, end: int) -> list[Area]:
        """The parts of areas that lie in [start, end)."""
        return [
            (max(low, start), min(high, end), at + max(0, start - low))
            for low, high, at in self._areas[slice(*self._touched(start, end))]
        ]

    def drop(self, start: int, end: int) -> None:
        """Take [start, end) out: it is loaded, or gone."""
        areas = self._areas
        first, last = self._touched(start, end)
        if first == last:
            return
        low, _, at = areas[first]
        high, tail_at = areas[last - 1][1], areas[last - 1][2] + end - areas[last - 1][0]
        rest = [(low, start, at)] if low < start else []
        if end < high:
            rest.append((end, high, tail_at))
        areas[first:last] = rest

    def move(self, start: int, to: int, length: int) -> None:
        """Move what lies in a range to ``to``, as mremap(2) does."""
        moved = [(low - start + to, high - start + to, at) for low, high, at in self.within(start, start + length)]
        self.drop(start, start + length)
        self.drop(to, to + length)
        place = bisect_left(self._areas, to, key=_start)
        self._areas[place:place] = moved

    def _touched(self, start: int, end: int) -> tuple[int, int]:
        """The indices of the first area that reaches into [start, end), and of the first one behind it."""
        areas = self._areas
        first = bisect_right(areas, start, key=_end)
        return first, max(first, bisect_left(areas, end, first, key=_start))


def _start(area: Area) -> int:
    return area[0]


def _end(area: Area) -> int:
    return area[1]
