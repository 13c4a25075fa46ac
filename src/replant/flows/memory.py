"""What a process does to have its memory: mappings, pages, protections, advice.

Areas that it has from whoever forked it, or has made for those it has forked, stand already (`replant.flows.heritage`).
"""

from __future__ import annotations

import struct

from replant.abi import mman, x86_64
from replant.abi.call import Track
from replant.pages.fill import fill_calls
from replant.resources import advice, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence

    from replant.abi.call import Slot
    from replant.flows.heritage import Heritage
    from replant.flows.program import Program
    from replant.model.tree import Mm, Vma

    Parts = Generator[Track, None, Track]

_PART = 1500  # calls: some milliseconds of work for a process


class Memory:
    """The steps of one process, by which it gets its memory; their order is that of `replant.resources.steps`.

    Each takes the calls so far, yields parts that are full, and returns the one that is not.
    """

    def __init__(self, mm: Mm, heritage: Heritage | None, program: Program) -> None:
        self._mm, self._heritage, self._program = mm, heritage, program
        self._standing: Container[Vma] = heritage.areas if heritage else ()
        self._shut: list[Vma] = []

    def steps(self) -> dict[str, Callable[[Track], Parts]]:
        """By their names."""
        return {
            "mappings": self._map,
            "contents": self._fill,
            "protections": self._protect,
            "advice": self._advise,
        }

    def _map(self, on: Track) -> Parts:
        """Map all that does not stand; what has to be protected once it is filled is put into ``_shut``."""
        if self._heritage and not self._heritage.forks:
            self._heritage.prepare(on, self._program)
        kinds = {name: registry.map_kind(name) for name in {vma.kind for vma in self._mm.vmas}}
        together: dict[str, list[tuple[Vma, Slot | int, int]]] = {
            name: [] for name, kind in kinds.items() if registry.hook(kind, "make_all")
        }
        for vma, fd, prot in _mappings(self._mm, self._standing, self._program):
            if prot != vma.prot:
                self._shut.append(vma)
            if vma in self._standing:
                continue
            if vma.kind in together:
                together[vma.kind].append((vma, fd, prot))
            else:
                kinds[vma.kind].make(vma, fd, prot, on, self._program)
            if len(on.calls) >= _PART:
                yield on
                on = Track(on.actor)
        for name, rows in together.items():
            kinds[name].make_all(rows, on, self._program)
        return on

    def _fill(self, on: Track) -> Parts:
        runs = self._heritage.accept(self._mm.runs, on) if self._heritage else self._mm.runs
        filling = fill_calls(runs, self._program.files.stores, self._mm.vmas)
        for first in range(0, len(filling), _PART):
            on.calls += filling[first : first + _PART]
            if len(on.calls) >= _PART:
                yield on
                on = Track(on.actor)
        return on

    def _protect(self, on: Track) -> Parts:
        for vma in self._shut:
            on.call(x86_64.mprotect, vma.start, vma.end - vma.start, vma.prot, why="protection, pages being there")
        yield from ()
        return on

    def _advise(self, on: Track) -> Parts:
        for vma in self._mm.vmas:
            if vma.flags:
                advice.apply(vma, on)
        yield from ()
        return on


def _mappings(mm: Mm, standing: Container[Vma], program: Program) -> Iterator[tuple[Vma, Slot | int, int]]:
    """Each mapping, the descriptor (or parked address) it is made from, and its protection while it is filled."""
    starts = [start for start, _, _ in struct.iter_unpack("<QQQ", mm.runs)]
    parked = program.parked
    for vma, filled in _with_pages(mm.vmas, starts):
        if vma.kind == "vdso":
            yield vma, parked, vma.prot
            parked += vma.end - vma.start
        else:
            prot = vma.prot | mman.PROT_WRITE if filled or vma in standing else vma.prot
            yield vma, program.fd(vma.file) if vma.file >= 0 else -1, prot


def _with_pages(vmas: Sequence[Vma], starts: Sequence[int]) -> Iterable[tuple[Vma, bool]]:
    """Each mapping, and whether a run of saved pages lies in it; both are in order of address."""
    at, count = 0, len(starts)
    for vma in vmas:
        first = at
        while at < count and starts[at] < vma.end:
            at += 1
        yield vma, at > first
