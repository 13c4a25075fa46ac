"""Memory that a process has from the one that forks it, shared until one of them writes, as it was: fork(2).

Pages that processes have in common, at one address from one place of the page store, their maker puts before it forks
them. So sharing comes about as it did the first time, and what is shared is loaded once. Which pages these are follows
from the model and from who forks whom (`replant.pages.kin`): a plan, made before the first call.

Only private anonymous areas take part that lie within one of the maker's, mapped in the same way, and have much in
common with it. Everything else a process loads itself, beside the others; where nobody shares, nothing changes.
"""

from __future__ import annotations

from _bisect import bisect_right

from replant.abi import mman, x86_64
from replant.journal import current
from replant.journal.known import DECISION
from replant.pages.fill import fill_calls
from replant.pages.kin import WORTH, Area
from replant.pages.rows import by_mapping, common, contents, packed, size, unpacked, without
from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import Mm, Model, Vma
    from replant.pages.rows import Row
    from replant.resources.protocol import RestoreSide

_NOT = frozenset(["lo", "lf", "gd", "wf", "dp", "dc"])


def suits(vma: Vma) -> bool:
    """Whether an area may be filled by somebody else: not if it is locked, grows down, is not for children, …"""
    return vma.kind == "anon" and not vma.shared and not _NOT.intersection(vma.flags.split())


class Heritage:
    """What of its memory stands in a process before it makes the rest, and how it gets there.

    It unmaps what is ``gone`` of what it is born with, empties what is ``idle``, and maps ``fresh`` areas; then, before
    each of its ``forks``, it loads pages that are ``asked`` for. Of what it has then, ``mine`` are pages that it keeps.
    """

    __slots__ = ("areas", "forks", "fresh", "gone", "idle", "mine", "others")

    def __init__(self, maker: Heritage | None, fork: int, areas: Mapping[Vma, Area], forks: Sequence[int]) -> None:
        """Of one who is born by ``fork`` of ``maker``."""
        self.areas = {vma: area for vma, area in areas.items() if area.stands}
        self.forks = forks
        self.fresh = [vma for vma, area in self.areas.items() if not area.above]
        born_with = maker.areas if maker else {}
        self.gone = without(_spans(born_with), _spans(vma for vma, area in self.areas.items() if area.above))
        born = without([row for area in born_with.values() for row in area.forked[fork]], self.gone)
        self.idle = without(born, [row for area in self.areas.values() for row in area.born])
        self.mine = [row for area in self.areas.values() for row in common(area.left, area.own)]
        self.others = without([row for area in self.areas.values() for row in area.left], self.mine)

    def prepare(self, on: Track, restore: RestoreSide) -> None:
        """Calls in the process before its first fork, or before it makes its own memory."""
        for start, length, _ in self.gone:
            on.call(x86_64.munmap, start, length, why="memory of others alone")
        _empty(self.idle, on)
        for vma in self.fresh:
            registry.map_kind(vma.kind).make(vma, -1, vma.prot | mman.PROT_WRITE, on, restore)

    def give(self, fork: int, on: Track, stores: Sequence[Slot | int]) -> None:
        """Calls in the process before one of its forks."""
        asked = [row for area in self.areas.values() for row in area.asked[fork]]
        if fork != self.forks[0]:
            _empty(asked, on)
        on.calls += fill_calls(packed(asked), stores, [*self.areas])

    def accept(self, runs: bytes, on: Track) -> bytes:
        """Calls that empty what it had for others alone; what of its `Mm.runs` is still to be filled."""
        _empty(self.others, on)
        return packed(without(unpacked(runs), self.mine))


def _empty(rows: Iterable[Row], on: Track) -> None:
    for start, length, _ in rows:
        on.call(x86_64.madvise, start, length, mman.MADV_DONTNEED, why="pages of others alone")


def _spans(vmas: Iterable[Vma]) -> list[Row]:
    return [(vma.start, vma.end - vma.start, 0) for vma in vmas]


def heritages(model: Model, makers: Mapping[int, int]) -> dict[int, Heritage]:
    """Those of all processes that have something from their makers, or for those they fork.

    ``makers``: who forks whom, in the order in which they are born. Who is no living process of the tree (a helper, a
    dead one) passes on what it is born with.
    """
    spaces = {mm.pid: mm for mm in model.mms}
    origins = {pid: _origin(pid, makers, spaces) for pid in makers if pid in spaces}
    related = _related(spaces, origins)
    forks = _forks(makers, origins)
    found: dict[int, Heritage] = {}
    for pid, (maker, fork) in origins.items() if related else ():
        areas, own_forks = related.get(pid, {}), forks.get(pid, [])
        for area in areas.values():
            area.settle(own_forks)
        if maker in found or any(area.stands for area in areas.values()):
            found[pid] = heritage = Heritage(found.get(maker), fork, areas, own_forks)
            if heritage.mine:
                what = f"{size(heritage.mine)} bytes of its memory are shared until somebody writes"
                DECISION(current(), pid, what, "processes of the tree have them in common")
    return found


def _origin(pid: int, makers: Mapping[int, int], spaces: Mapping[int, Mm]) -> tuple[int, int]:
    """The nearest living process from which that one comes (0: none), and whom it forks to that end."""
    maker, fork = makers[pid], pid
    while maker and maker not in spaces:
        maker, fork = makers.get(maker, 0), maker
    return maker, fork


def _forks(makers: Mapping[int, int], origins: Mapping[int, tuple[int, int]]) -> dict[int, list[int]]:
    """By process whom it forks, of those from which a living one comes, in order."""
    leading = {*origins.values()}
    found: dict[int, list[int]] = {}
    for fork, maker in makers.items():
        if (maker, fork) in leading:
            found.setdefault(maker, []).append(fork)
    return found


def _related(spaces: Mapping[int, Mm], origins: Mapping[int, tuple[int, int]]) -> dict[int, dict[Vma, Area]]:
    """By process: areas that lie in areas of its maker, and those in which areas of its children lie, in order."""
    around: dict[int, dict[Vma, Vma]] = {}  # by process: its areas, and those of its maker that hold them
    concerned: dict[int, set[Vma]] = {}
    for pid, (maker, _) in origins.items():
        around[pid] = pairs = _pairs(spaces[pid], spaces[maker]) if maker else {}
        if pairs:
            concerned.setdefault(pid, set()).update(pairs)
            concerned.setdefault(maker, set()).update(pairs.values())
    found: dict[int, dict[Vma, Area]] = {}
    for pid, (maker, fork) in origins.items() if concerned else ():
        vmas, pairs = sorted(concerned.get(pid, ())), around[pid]
        rows = by_mapping(vmas, contents(unpacked(spaces[pid].runs)))
        found[pid] = {
            vma: Area(vma.start, vma.end, own, found[maker][pairs[vma]] if vma in pairs else None, fork)
            for vma, own in zip(vmas, rows, strict=True)
        }
    return found


def _pairs(mm: Mm, maker: Mm) -> dict[Vma, Vma]:
    """Areas of a process, by each the one of its maker that holds it and is mapped in the same way."""
    found = {}
    for vma in mm.vmas:
        if vma.end - vma.start >= WORTH and suits(vma):
            at = bisect_right(maker.vmas, vma.start, key=_start)
            other = maker.vmas[at - 1] if at else vma
            if vma.end <= other.end and vma._replace(start=other.start, end=other.end, offset=other.offset) == other:
                found[vma] = other
    return found


def _start(vma: Vma) -> int:
    return vma.start
