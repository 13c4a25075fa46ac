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
    from collections.abc import Container, Generator, Iterable, Iterator, Sequence

    from replant.abi.call import Slot
    from replant.flows.heritage import Heritage
    from replant.flows.program import Program
    from replant.model.tree import Mm, Vma

    Parts = Generator[Track, None, Track]

_PART = 1500  # calls: some milliseconds of work for a process


def make(mm: Mm, heritage: Heritage | None, on: Track, program: Program) -> Parts:
    """The calls, behind those of ``on``; full parts are yielded, the one that is not is returned."""
    if heritage and not heritage.forks:
        heritage.prepare(on, program)
    shut: list[Vma] = []
    on = yield from _map(mm, heritage.areas if heritage else (), shut, on, program)
    runs = heritage.accept(mm.runs, on) if heritage else mm.runs
    filling = fill_calls(runs, program.files.stores, mm.vmas)
    for first in range(0, len(filling), _PART):
        on.calls += filling[first : first + _PART]
        if len(on.calls) >= _PART:
            yield on
            on = Track(on.actor)
    for vma in shut:
        on.call(x86_64.mprotect, vma.start, vma.end - vma.start, vma.prot, why="protection, pages being there")
    for vma in mm.vmas:
        if vma.flags:
            advice.apply(vma, on)
    return on


def _map(mm: Mm, standing: Container[Vma], shut: list[Vma], on: Track, program: Program) -> Parts:
    """Map all that does not stand; what has to be protected once it is filled is put into ``shut``."""
    kinds = {name: registry.map_kind(name) for name in {vma.kind for vma in mm.vmas}}
    together: dict[str, list[tuple[Vma, Slot | int, int]]] = {
        name: [] for name, kind in kinds.items() if registry.hook(kind, "make_all")
    }
    for vma, fd, prot in _mappings(mm, standing, program):
        if prot != vma.prot:
            shut.append(vma)
        if vma in standing:
            continue
        if vma.kind in together:
            together[vma.kind].append((vma, fd, prot))
        else:
            kinds[vma.kind].make(vma, fd, prot, on, program)
        if len(on.calls) >= _PART:
            yield on
            on = Track(on.actor)
    for name, rows in together.items():
        kinds[name].make_all(rows, on, program)
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
