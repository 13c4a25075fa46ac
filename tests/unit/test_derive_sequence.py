"""Steps with needs, gives and ends: orders, rings, and the simulator that refuses a wrong order."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest

from replant.derive.sequence import Blocked, Step, arrange, run
from replant.errors import Bug

WORDS = "abcd"


def random_steps(rng: Random) -> list[Step]:
    """Up to six steps; each word is given by one of them or holds from the beginning, and any may end it."""
    names = range(rng.randrange(2, 7))
    givers = {word: rng.choice(names) for word in WORDS if rng.random() < 0.6}
    return [
        Step(
            (n,),
            [((word,), word) for word in WORDS if rng.random() < 0.3],
            [(word,) for word, giver in givers.items() if giver == n],
            [(word,) for word in WORDS if rng.random() < 0.15 and givers.get(word) != n],
        )
        for n in names
    ]


def works(steps: tuple[Step, ...], holds: set[tuple[str]]) -> bool:
    try:
        run(steps, holds)
    except Bug:
        return False
    return True


@pytest.mark.parametrize("seed", range(300))
def test_an_order_is_found_where_one_works(seed: int) -> None:
    """Against every order, run on the facts; that a giver revives a fact which was ended is not made use of."""
    steps = random_steps(Random(seed))
    given = {fact for step in steps for fact in step.gives}
    holds = {(word,) for word in WORDS} - given
    try:
        order, edges = arrange(steps, holds)
    except Blocked:
        assert not any(works(each, holds) and not _revives(each, holds) for each in permutations(steps))
        return
    assert works(tuple(steps[i] for i in order), holds)
    assert all(order.index(j) < order.index(i) for i, waits in enumerate(edges) for j in waits)


def _revives(steps: tuple[Step, ...], holds: set[tuple[str]]) -> bool:
    """Whether a fact is ended before it is given, or used only after somebody else ended it and it was given again."""
    ended: set[object] = set()
    for step in steps:
        if ended & set(step.gives):
            return True
        ended.update(step.ends)
    return False


def test_the_reasons_of_a_ring_are_told() -> None:
    steps = [
        Step(("a",), [(("y",), "a needs y")], [("x",)]),
        Step(("b",), [(("x",), "b needs x")], [("y",)]),
        Step(("c",), [(("x",), "c needs x")]),
    ]
    with pytest.raises(Blocked) as blocked:
        arrange(steps)
    assert blocked.value.reasons == {"a needs y", "b needs x"}
    assert {str(step) for step in blocked.value.steps} == {"a", "b"}


def test_a_need_that_nothing_gives_is_told() -> None:
    with pytest.raises(Blocked) as blocked:
        arrange([Step(("a",), [(("x",), "why")])])
    assert blocked.value.reasons == {"why"}
    assert arrange([Step(("a",), [(("x",), "why")])], holds={("x",)})[0] == [0]


def test_everybody_who_ends_a_fact_comes_after_its_users() -> None:
    steps = [
        Step(("end",), ends=[("x",)]),
        Step(("end too",), ends=[("x",)]),
        Step(("use",), [(("x",), "x")]),
    ]
    order, edges = arrange(steps, {("x",)})
    assert order == [2, 0, 1] and edges[0] == edges[1] == {2: "x"}
    with pytest.raises(Bug):
        run([steps[0], steps[2]], {("x",)})
