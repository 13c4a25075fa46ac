"""The exact search for the births of founders: which cohort each of them is born into, and in what order.

It knows three relations between founders. *after*: another must be above. *inside*: a member of another's cohort must
be above, so the birth lies inside that cohort or deeper; if that member itself has to have a founder above itself, its
*anchor*, then also after that and not inside it. *waits*: another must be above or be born into one's own cohort.

Inside a cohort everything can stand in one line (more ancestors never hurt), so the search builds lines. Where a
founder stands in line fixes, without any choice, which others are drawn inside its cohort: all that are tied to it by
something only to be had there. If these can be placed inside, the step is safe: by an exchange argument a solution, if
there is one, can be changed to contain the step. If not, the founder has to wait until more stand above. What was drawn
inside is a problem of its own, whatever stands above; so failures are remembered and never tried twice.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

    Steps = Generator["Steps", bool, bool]


class Chain:
    """The founders born into the cohort of ``home``, in the order in which they must be created."""

    __slots__ = ("founders", "home", "tries")

    def __init__(self, home: int, founders: list[int], tries: int) -> None:
        self.home = home
        self.founders = founders
        self.tries = tries


class Stuck:
    """No creation tree exists: none of ``founders`` can come first. Or, if ``gave_up``, the budget was used up."""

    __slots__ = ("founders", "gave_up", "tries")

    def __init__(self, founders: frozenset[int], tries: int, *, gave_up: bool) -> None:
        self.founders = founders
        self.tries = tries
        self.gave_up = gave_up


class _OutOfBudget(Exception):
    """The attempts allowed were used up."""


def search(
    core: Sequence[int],
    after: Mapping[int, Collection[int]],
    inside: Mapping[int, Collection[tuple[int, int]]],
    waits: Mapping[int, Collection[int]],
    budget: int,
) -> list[Chain] | Stuck:
    """Place all of ``core`` below node 0. Founders not in ``core`` are taken to be satisfied, whoever names them.

    ``inside`` holds pairs: the founder of the cohort, and the anchor or 0.
    """
    lines = _Lines(core, after, inside, waits, budget)
    remaining = set(core)
    try:
        done = _run(lines.place(0, remaining))
    except _OutOfBudget:
        return Stuck(frozenset(remaining), lines.tries, gave_up=True)
    if not done:
        return Stuck(frozenset(remaining), lines.tries, gave_up=False)
    return lines.chains()


def _run(steps: Steps) -> bool:
    """Run generators that call each other by yielding, so that depth costs no interpreter stack."""
    stack, answer = [steps], False
    send = False
    while stack:
        try:
            nested = stack[-1].send(answer) if send else next(stack[-1])
        except StopIteration as end:
            stack.pop()
            answer, send = bool(end.value), True
        else:
            stack.append(nested)
            send = False
    return answer


class _Lines:
    """The state of one search: relations, memory of failures, and the lines as they stand."""

    def __init__(
        self,
        core: Sequence[int],
        after: Mapping[int, Collection[int]],
        inside: Mapping[int, Collection[tuple[int, int]]],
        waits: Mapping[int, Collection[int]],
        budget: int,
    ) -> None:
        known = set(core)
        self.inside = inside
        self.first = {f: known.intersection(after[f]) | _both(inside[f], known) for f in core}
        self.waits = {f: set(waits.get(f, ())) & known - {f} for f in [0, *core]}
        self.drawn: dict[int, set[int]] = {f: set() for f in core}
        for founder in core:
            for other in known.intersection(home for home, _ in inside[founder]):
                self.drawn[other].add(founder)
        self.tied = _ties(core, self.first, self.waits)
        self.failed: set[tuple[int, frozenset[int]]] = set()
        self.lines: dict[int, list[int]] = {}
        self.budget = budget
        self.tries = 0

    def chains(self) -> list[Chain]:
        """The lines found; the attempts are counted on the first."""
        found = [Chain(home, line, 0) for home, line in self.lines.items() if line]
        if found:
            found[0].tries = self.tries
        return found

    def place(self, home: int, remaining: set[int]) -> Steps:
        """Place all of ``remaining`` inside the cohort of ``home``; what is left in it at the end could not be."""
        line = self.lines[home] = []
        moved = True
        while remaining and moved:
            moved = False
            for founder in sorted(remaining, key=self._eagerness):
                if founder not in remaining or self.first[founder] & remaining:
                    continue
                within = self._within(founder, remaining, home)
                if within is None:
                    continue
                placed = yield self._attempt(founder, within)
                if placed:
                    line.append(founder)
                    remaining.discard(founder)
                    remaining -= within
                    moved = True
        return not remaining

    def _eagerness(self, founder: int) -> tuple[int, int]:
        """Who ties fewest others goes first; any order is right."""
        return (len(self.tied[founder]), founder)

    def _within(self, founder: int, remaining: set[int], home: int) -> frozenset[int] | None:
        """What ``founder``, next in line at ``home``, draws inside its cohort; None if some of it must not be there.

        That is: what must be born into the cohort of ``home``, or after one of its members that has ``founder`` above.
        """
        todo = [f for f in self.waits[founder] | self.drawn[founder] if f in remaining and f != founder]
        within = set(todo)
        while todo:
            for other in self.tied[todo.pop()]:
                if other in remaining and other not in within and other != founder:
                    within.add(other)
                    todo.append(other)
        if within & self.waits[home] or any((home, founder) in self.inside[f] for f in within):
            return None
        return frozenset(within)

    def _attempt(self, founder: int, within: frozenset[int]) -> Steps:
        self.tries += 1
        if self.tries > self.budget:
            raise _OutOfBudget
        if (founder, within) in self.failed:
            return False
        done = yield self.place(founder, set(within))
        if not done:
            self.failed.add((founder, within))
        return done


def _both(pairs: Collection[tuple[int, int]], known: set[int]) -> set[int]:
    return known.intersection(f for pair in pairs for f in pair)


def _ties(core: Sequence[int], first: Mapping[int, set[int]], waits: Mapping[int, set[int]]) -> dict[int, set[int]]:
    """Who is related to whom, in any way and either direction."""
    tied: dict[int, set[int]] = {f: set() for f in core}
    for founder in core:
        for other in first[founder] | waits[founder]:
            tied[founder].add(other)
            tied[other].add(founder)
    return tied
