"""The general solver: from things and how their slots come about to a partial order of steps, or the core of why not.

Each slot's way is a choice, the order is what the facts leave: who needs a fact comes after who gives it and before who
ends it. A ring in that order depends on a few choices only: that combination is learned and never made again. When no
combination is left, the demands in what was learned are thinned out to a core: without any one of them there is a plan.
"""

from __future__ import annotations

from .objects import exists, steps_for
from .sequence import Blocked, arrange, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .objects import Demand, Kind, Thing
    from .sequence import Edges, Step

    Choice = dict[Demand, str]
    Lesson = frozenset[tuple[Demand, str]]


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
        steps = _steps(goal, rules, choice)
        try:
            order, edges = arrange(steps)
        except Blocked as blocked:
            lessons.append(_lesson(blocked, choice))
        else:
            return _checked(goal, [steps[i] for i in order], _renumbered(order, edges), len(lessons) + 1)


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


def _steps(goal: Mapping[str, Thing], rules: Mapping[str, Kind], choice: Choice) -> list[Step]:
    return [s for name, thing in goal.items() for s in steps_for(name, thing, rules[thing.kind], choice)]


def _lesson(blocked: Blocked, choice: Choice) -> Lesson:
    """The choices behind it."""
    demands = {demand: how for demand, how in choice.items() if demand in blocked.reasons}
    return frozenset(demands.items())


def _renumbered(order: list[int], edges: Edges) -> list[list[int]]:
    place = {i: position for position, i in enumerate(order)}
    return [sorted(place[j] for j in edges[i]) for i in order]


def _checked(goal: Mapping[str, Thing], steps: list[Step], after: list[list[int]], tries: int) -> Plan:
    """Run the steps on the facts.

    :raises Bug: if a step lacks something after all, or a thing is not there at the end.
    """
    facts = run(steps)
    for name, thing in goal.items():
        if (exists(name) in facts) == thing.passing:
            from ..errors import Bug

            raise Bug(
                f"the plan is wrong: {name} is there and should not be, or the other way round", code="plan-wrong"
            )
    return Plan(steps, after, tries)


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
        try:
            arrange(_steps(lean, rules, choice))
        except Blocked as blocked:
            lessons.append(_lesson(blocked, choice))
        else:
            return True


def _words(core: list[Demand]) -> str:
    return "these cannot all be had: " + ", ".join(f"{slot} of {name}" for name, slot in core)
