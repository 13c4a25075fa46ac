"""Creation trees: the search against trying everything."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from replant.derive.lineage import FOUNDER, Growth, grow
from replant.derive.search import Stuck, search

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "derive"))

TYPE_CHECKING = False
if TYPE_CHECKING:
    Placed = frozenset[tuple[int, frozenset[int], int]]


def possible(above: list[int], cohort: list[int]) -> bool:
    """Whether births and foundings in any order lead to all nodes; tries all orders."""
    start: Placed = frozenset({(0, frozenset(), 0)})
    seen, todo = {start}, [start]
    while todo:
        placed = todo.pop()
        if len(placed) == len(above):
            return True
        for after in _births(placed, above, cohort):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return False


def _births(placed: Placed, above: list[int], cohort: list[int]) -> list[Placed]:
    there = {node for node, _, _ in placed}
    after: list[Placed] = []
    for node, ancestors, now in placed:
        if cohort[node] == FOUNDER and now != node:
            after.append(placed - {(node, ancestors, now)} | {(node, ancestors, node)})
        line = ancestors | {node}
        kids = (k for k in range(len(above)) if k not in there and above[k] in line | {0})
        after += [placed | {(kid, line, now)} for kid in kids if cohort[kid] in (FOUNDER, now)]
    return after


def random_problem(rng: Random, size: int) -> tuple[list[int], list[int]]:
    """Founders and members, with demands of any kind; about half of the problems have no solution."""
    founders = [0, *(i for i in range(1, size) if rng.random() < 0.5)]
    cohort = [FOUNDER if i in founders else rng.choice(founders) for i in range(size)]
    order = [0, *rng.sample(range(1, size), size - 1)]  # parents lead to node 0, whatever the numbers
    above = [0] * size
    for place in range(1, size):
        above[order[place]] = order[rng.randrange(place)] if rng.random() < 0.8 else 0
    return above, cohort


def assert_valid(found: Growth, above: list[int], cohort: list[int]) -> None:
    for node in range(1, len(above)):
        ancestors, at = [], found.parent[node]
        while True:
            ancestors.append(at)
            assert len(ancestors) <= len(above), "a ring of creators"
            if at == 0:
                break
            at = found.parent[at]
        assert above[node] in ancestors
        creator = found.parent[node]
        held = (creator, found.born[creator]) if cohort[creator] == FOUNDER and creator else (found.born[creator],)
        assert found.born[node] in (held if creator else (0,))
        assert cohort[node] in (FOUNDER, found.born[node])


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_search_is_exact(size: int) -> None:
    rng, outcomes = Random(size), set()
    for _ in range(700):
        above, cohort = random_problem(rng, size)
        found = grow(above, cohort)
        outcomes.add(isinstance(found, Growth))
        assert isinstance(found, Growth) == possible(above, cohort), (above, cohort)
        if isinstance(found, Growth):
            assert_valid(found, above, cohort)
    assert size == 2 or outcomes == {True, False}


def test_wishes_never_cost_a_solution() -> None:
    rng, heard = Random(7), 0
    for _ in range(1500):
        above, cohort = random_problem(rng, 6)
        founders = [i for i in range(1, 6) if cohort[i] == FOUNDER]
        wishes = {f: rng.choice(founders) for f in founders if len(founders) > 1 and rng.random() < 0.5}
        wishes = {f: home for f, home in wishes.items() if f != home}
        found = grow(above, cohort, births=wishes)
        assert isinstance(found, Growth) == possible(above, cohort), (above, cohort, wishes)
        if isinstance(found, Growth):
            assert_valid(found, above, cohort)
            heard += any(found.born[f] == home for f, home in wishes.items())
    assert heard > 100


def test_giving_up_is_said() -> None:
    ring = {f: {f % 4 + 1} for f in range(1, 5)}
    nothing: dict[int, set[tuple[int, int]]] = {f: set() for f in ring}
    found = search(list(ring), {f: set() for f in ring}, nothing, ring, budget=2)
    assert isinstance(found, Stuck) and found.gave_up
