"""The parallel copy, against all sequences of copies."""

from __future__ import annotations

from itertools import product

import pytest

from replant.derive.copying import parallel_copy, verified

PLACES, SPARE, OUTSIDE = (0, 1, 2, 3), 4, 5  # nobody wants to have anything in the last one


def shortest() -> dict[tuple[int, ...], int]:
    """For every content of the places how few copies lead to it; the spare place holds anything."""
    steps = {(*PLACES, SPARE, OUTSIDE): 0}
    edge = list(steps)
    while edge:
        following = []
        for state in edge:
            for source, target in product((*PLACES, SPARE, OUTSIDE), (*PLACES, SPARE)):
                after = (*state[:target], state[source], *state[target + 1 :])
                if after not in steps:
                    steps[after] = steps[state] + 1
                    following.append(after)
        edge = following
    best: dict[tuple[int, ...], int] = {}
    for state, count in steps.items():
        best[state[:4]] = min(count, best.get(state[:4], count))
    return best


def test_shortest_of_all() -> None:
    """Every wish of four places for what stands in them or outside: 625."""
    best = shortest()
    for wish in product((*PLACES, OUTSIDE), repeat=4):
        wanted = dict(zip(PLACES, wish, strict=True))
        copies = parallel_copy(wanted, SPARE)
        assert verified(copies, wanted)
        assert len(copies) == best[wish]


def test_a_ring_takes_one_more() -> None:
    assert len(parallel_copy({0: 1, 1: 2, 2: 0}, SPARE)) == 4
    assert len(parallel_copy({0: 1, 1: 0, 2: 3, 3: 2}, SPARE)) == 6
    assert len(parallel_copy({0: 1, 1: 0, 7: 1}, SPARE)) == 3  # what leads out of it serves as well
    with pytest.raises(ValueError, match="ring"):
        parallel_copy({0: 1, 1: 0})


def test_what_is_in_its_place_stays() -> None:
    assert parallel_copy({0: 0, 1: 0}) == [(0, 1)]


def test_the_simulator_notices() -> None:
    wanted = {0: 1, 1: 0}
    assert not verified([(1, 0), (0, 1)], wanted)
    assert not verified([(1, 0)], wanted)
