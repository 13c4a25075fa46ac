"""What stands in processes when they fork, by playing it: all end with their own pages, and share what they shared."""

from __future__ import annotations

import random

import pytest

from replant.pages.kin import WORTH, Area

UNIT = WORTH  # what is written at a time: any of it is worth sharing
UNITS = 8

Memory = dict[int, int]  # by unit the version of it


class Process:
    """A process of a history: its memory at the end of it, who made it, and whom it made, in order."""

    def __init__(self, number: int, maker: Process | None) -> None:
        self.number, self.maker = number, maker
        self.memory: Memory = dict(maker.memory) if maker else {}
        self.forks: list[int] = []
        if maker:
            maker.forks.append(number)

    def rows(self) -> list[tuple[int, int, int]]:
        return [(unit * UNIT, UNIT, version * UNIT) for unit, version in sorted(self.memory.items())]


def history(chance: random.Random) -> list[Process]:
    """Processes that fork, write and give back, as it comes."""
    processes = [Process(1, None)]
    processes[0].memory.update({unit: unit for unit in range(UNITS)})
    version = UNITS
    for _ in range(chance.randint(5, 40)):
        one, unit = chance.choice(processes), chance.randrange(UNITS)
        what = chance.random()
        if what < 0.3 and len(processes) < 9:
            processes.append(Process(len(processes) + 1, one))
        elif what < 0.35:
            one.memory.pop(unit, None)
        elif what < 0.7:
            one.memory[unit] = version = version + 1
    return processes


def settled(processes: list[Process]) -> dict[int, Area]:
    areas: dict[int, Area] = {}
    for one in processes:
        above = areas[one.maker.number] if one.maker else None
        areas[one.number] = Area(0, UNITS * UNIT, one.rows(), above, one.number)
    for one in processes:
        areas[one.number].settle(one.forks)
    return areas


def play(processes: list[Process], areas: dict[int, Area]) -> int:
    """Do it, each loaded unit being an object of its own; how many have been loaded."""
    stands: dict[int, dict[int, list[int]]] = {}
    loaded = 0

    def load(memory: dict[int, list[int]], rows: list[tuple[int, int, int]]) -> None:
        nonlocal loaded
        for start, length, place in rows:
            for n in range(0, length, UNIT):
                memory[(start + n) // UNIT] = [(place + n) // UNIT]
                loaded += 1

    for one in processes:
        area = areas[one.number]
        born = stands[one.number] if one.maker and area.above else {}
        kept = {start // UNIT + n for start, length, _ in area.born for n in range(length // UNIT)}
        memory = {unit: page for unit, page in born.items() if unit in kept}
        for fork in one.forks:
            load(memory, [*area.asked[fork]])
            stands[fork] = dict(memory)
        own = one.memory
        memory = {unit: page for unit, page in memory.items() if own.get(unit) == page[0]}
        load(memory, [row for row in one.rows() if row[0] // UNIT not in memory])
        assert {unit: page[0] for unit, page in memory.items()} == own
    return loaded


@pytest.mark.parametrize("seed", range(60))
def test_all_end_with_their_own(seed: int) -> None:
    processes = history(random.Random(seed))
    play(processes, settled(processes))


def test_nearly_all_is_loaded_once() -> None:
    loaded = wanted = alone = 0
    for seed in range(200):
        processes = history(random.Random(seed))
        loaded += play(processes, settled(processes))
        wanted += len({version for one in processes for version in one.memory.values()})
        alone += sum(len(one.memory) for one in processes)
    assert loaded < wanted + (alone - wanted) * 0.01


def test_what_each_has_alone_is_not_asked_for() -> None:
    parent = Area(0, 4 * UNIT, [(0, 4 * UNIT, 0)])
    child = Area(0, 4 * UNIT, [(0, 4 * UNIT, 4 * UNIT)], parent, 2)
    parent.settle([2])
    child.settle([])
    assert not parent.stands
    assert not child.stands


def test_little_is_not_worth_it() -> None:
    rows = [(0, WORTH - 4096, 0)]
    parent = Area(0, 4 * UNIT, rows)
    child = Area(0, 4 * UNIT, rows, parent, 2)
    parent.settle([2])
    child.settle([])
    assert not parent.stands
    assert not child.stands
