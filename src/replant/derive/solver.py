"""The general solver: from things and how their slots come about to a partial order of steps, or the core of why not.

Each slot's way is a choice, the order is what the facts leave: who needs a fact comes after who gives it and before who
ends it. A ring in that order depends on a few choices only: that combination is learned and never made again. When no
combination is left, the demands in what was learned are thinned out to a core: without any one of them there is a plan.
"""

from __future__ import annotations

from itertools import pairwise

from .objects import steps_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .objects import Demand, Fact, Kind, Step, Thing

    Choice = dict[Demand, str]
    Lesson = frozenset[tuple[Demand, str]]
    Edges = list[dict[int, Lesson]]


class Plan:
    """Steps in one possible order; ``after[i]`` are the indices that step ``i`` has to wait for: the partial order."""

    __slots__ = ("after", "steps", "tries")

    ok = True

    def __init__(self, steps: list[Step], after: list[list[int]], tries: int) -> None:
        self.steps = steps
        self.after = after
        self.tries = tries


class Impossible:
    """No order of steps leads to the goal: the demands in ``core`` cannot all be met, any fewer of them can."""

    __slots__ = ("core", "tries", "why")

    ok = False

    def __init__(self, why: str, core: list[Demand], tries: int) -> None:
        self.why = why
        self.core = core
        self.tries = tries


def solve(goal: Mapping[str, Thing], rules: Mapping[str, Kind]) -> Plan | Impossible:
    """Plan ``goal`` (things by name) under ``rules`` (kinds by name).

    Every plan is run on the facts before it is returned.

    :raises KeyError: if a thing is of an undeclared kind or has an undeclared slot.
    """
    lessons: list[Lesson] = []
    while True:
        choice = _choose(goal, rules, lessons)
        if choice is None:
            core = _thin(goal, rules, lessons)
            return Impossible(_words(core), core, len(lessons))
        steps, edges, lacking = _arrange(goal, rules, choice)
        found = lacking or _ring(edges)
        if found is not None:
            lessons.append(found)
            continue
        return _checked(goal, steps, edges, len(lessons) + 1)


def _choose(goal: Mapping[str, Thing], rules: Mapping[str, Kind], lessons: list[Lesson]) -> Choice | None:
    """Ways for all slots that repeat no lesson, the preferred ones where possible; None if there are none."""
    ways = {(name, slot): rules[thing.kind].slots[slot].how for name, thing in goal.items() for slot in thing.values}
    choice = {demand: how[0] for demand, how in ways.items()}
    stack: list[Iterator[Choice]] = [iter([choice])]
    while stack:
        tried = next(stack[-1], None)
        if tried is None:
            stack.pop()
            continue
        broken = next((lesson for lesson in lessons if all(tried[d] == how for d, how in lesson)), None)
        if broken is None:
            return tried
        stack.append(_escapes(tried, broken, ways))
    return None


def _escapes(choice: Choice, lesson: Lesson, ways: Mapping[Demand, tuple[str, ...]]) -> Iterator[Choice]:
    """The choices that differ from ``choice`` in one of the demands of ``lesson``, only ever to later ways."""
    for demand, how in sorted(lesson):
        later = ways[demand][ways[demand].index(how) + 1 :]
        yield from ({**choice, demand: other} for other in later)


def _arrange(
    goal: Mapping[str, Thing], rules: Mapping[str, Kind], choice: Choice
) -> tuple[list[Step], Edges, Lesson | None]:
    """The steps, what each has to wait for and because of which choices; or the choices that lack something."""
    steps = [s for name, thing in goal.items() for s in steps_for(name, thing, rules[thing.kind], choice)]
    givers = {fact: i for i, step in enumerate(steps) for fact in step.gives}
    enders = {fact: i for i, step in enumerate(steps) for fact in step.ends}
    edges: Edges = [{} for _ in steps]
    for i, step in enumerate(steps):
        for fact, demand in step.needs:
            because: Lesson = frozenset() if demand is None else frozenset({(demand, choice[demand])})
            if fact not in givers:
                return steps, edges, because
            if givers[fact] == i:  # what a step gives itself, as a row that refers to itself
                continue
            _wait(edges, i, givers[fact], because)
            if fact in enders and enders[fact] != i:
                _wait(edges, enders[fact], i, because)
    return steps, edges, None


def _wait(edges: Edges, later: int, earlier: int, because: Lesson) -> None:
    known = edges[later].get(earlier)
    if known is None or len(because) < len(known):
        edges[later][earlier] = because


def _ring(edges: Edges) -> Lesson | None:
    """The choices behind a ring of waiting steps, or None if there is none."""
    state = bytearray(len(edges))  # 1: on the way, 2: done
    for start in range(len(edges)):
        way = [(start, iter(edges[start]))] if not state[start] else []
        state[start] = state[start] or 1
        while way:
            node, rest = way[-1]
            following = next(rest, None)
            if following is None:
                state[node] = 2
                way.pop()
            elif state[following] == 1:
                nodes = [n for n, _ in way]
                ring = [*nodes[nodes.index(following) :], following]
                return frozenset().union(*(edges[a][b] for a, b in pairwise(ring)))
            elif not state[following]:
                state[following] = 1
                way.append((following, iter(edges[following])))
    return None


def _checked(goal: Mapping[str, Thing], steps: list[Step], edges: Edges, tries: int) -> Plan:
    """Put the steps into an order and run them on the facts.

    :raises Bug: if a step lacks something after all, or a thing is not there at the end.
    """
    order = _order(edges)
    place = {i: position for position, i in enumerate(order)}
    facts: set[Fact] = set()
    for i in order:
        lacking = steps[i].run(facts)
        if lacking:
            raise _bug(f"{steps[i]!r} lacks {lacking}")
    for name, thing in goal.items():
        if (("exists", name) in facts) == thing.passing:
            raise _bug(f"{name} is there and should not be, or the other way round")
    return Plan([steps[i] for i in order], [sorted(place[j] for j in edges[i]) for i in order], tries)


def _order(edges: Edges) -> list[int]:
    """One order in which everything comes after what it waits for; the order of declaration where that is free."""
    from heapq import heapify, heappop, heappush

    missing = [len(waits) for waits in edges]
    following: list[list[int]] = [[] for _ in edges]
    for i, waits in enumerate(edges):
        for earlier in waits:
            following[earlier].append(i)
    ready = [i for i, count in enumerate(missing) if not count]
    heapify(ready)
    order = []
    while ready:
        i = heappop(ready)
        order.append(i)
        for later in following[i]:
            missing[later] -= 1
            if not missing[later]:
                heappush(ready, later)
    return order


def _thin(goal: Mapping[str, Thing], rules: Mapping[str, Kind], lessons: list[Lesson]) -> list[Demand]:
    """Drop demands while what is left stays impossible."""
    core = sorted({demand for lesson in lessons for demand, _ in lesson})
    for demand in list(core):
        rest = [d for d in core if d != demand]
        if not _possible(goal, rules, rest):
            core = rest
    return core


def _possible(goal: Mapping[str, Thing], rules: Mapping[str, Kind], kept: list[Demand]) -> bool:
    """Whether there is a plan if only ``kept`` are demanded of the things."""
    lessons: list[Lesson] = []
    lean = {}
    for name, thing in goal.items():
        lean[name] = type(thing)(thing.kind, thing.passing)
        lean[name].values = {s: v for s, v in thing.values.items() if (name, s) in kept}
    while True:
        choice = _choose(lean, rules, lessons)
        if choice is None:
            return False
        _, edges, lacking = _arrange(lean, rules, choice)
        found = lacking or _ring(edges)
        if found is None:
            return True
        lessons.append(found)


def _words(core: list[Demand]) -> str:
    return "these cannot all be had: " + ", ".join(f"{slot} of {name}" for name, slot in core)


def _bug(what: str) -> Exception:
    from ..errors import Bug

    return Bug(f"the plan is wrong: {what}", code="plan-wrong", hint="please report the goal")
