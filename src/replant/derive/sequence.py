"""Steps with what each needs, gives and ends, and the partial order that this leaves.

A step that needs a fact comes after the step that gives it, and before every step that ends it. A fact that no step
gives has to hold from the beginning. Executing a step is a set operation on facts: `run` is the simulator, and as it
knows nothing of how an order was found, also the checker of every order before it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterable, Sequence

    Fact = tuple[Hashable, ...]
    Edges = list[dict[int, Hashable]]  # for each step those it waits for, each with the reason of the need behind it


class Step:
    """One step of a plan.

    ``needs`` pairs each fact with a reason: what asks for it, None if the step itself does. ``gives`` and ``ends`` are
    facts; what a step gives itself it need not wait for.
    """

    __slots__ = ("ends", "gives", "needs", "op")

    def __init__(
        self,
        op: tuple[Hashable, ...],
        needs: Iterable[tuple[Fact, Hashable]] = (),
        gives: Iterable[Fact] = (),
        ends: Iterable[Fact] = (),
    ) -> None:
        self.op = op
        self.needs = tuple(needs)
        self.gives = tuple(gives)
        self.ends = tuple(ends)

    def __repr__(self) -> str:
        return " ".join(map(str, self.op))

    def run(self, facts: set[Fact]) -> list[Fact]:
        """Do the step to a state; :return: the facts that it lacks, and then nothing is done."""
        lacking = [fact for fact, _ in self.needs if fact not in facts and fact not in self.gives]
        if not lacking:
            facts.difference_update(self.ends)
            facts.update(self.gives)
        return lacking


class Blocked(Exception):
    """There is no order: a need that nothing meets, or a ring of steps that wait for each other.

    ``reasons`` are those of the needs behind it (without None), ``steps`` the steps.
    """

    def __init__(self, steps: Iterable[Step], reasons: Iterable[Hashable]) -> None:
        self.steps = list(steps)
        self.reasons = frozenset(reasons) - {None}
        super().__init__(", ".join(map(repr, self.steps)))


def arrange(steps: Sequence[Step], holds: Container[Fact] = ()) -> tuple[list[int], Edges]:
    """One order of the steps, that of their declaration where it is free, and what each has to wait for.

    Each fact is given by at most one step. ``holds``: what is true from the beginning.

    :raises Blocked: there is none.
    """
    edges = _edges(steps, holds)
    order = _order(edges)
    if len(order) < len(steps):
        ring = _ring(edges)
        raise Blocked([steps[i] for i in ring], [edges[a][b] for a, b in zip(ring, ring[1:] + ring[:1], strict=True)])
    return order, edges


def run(steps: Iterable[Step], holds: Iterable[Fact] = ()) -> set[Fact]:
    """Do all steps in the order given; :return: the facts at the end.

    :raises Bug: a step lacks something.
    """
    facts = set(holds)
    for step in steps:
        lacking = step.run(facts)
        if lacking:
            from ..errors import Bug

            raise Bug(f"the plan is wrong: {step!r} lacks {lacking}", code="plan-wrong", hint="please report the goal")
    return facts


def _edges(steps: Sequence[Step], holds: Container[Fact]) -> Edges:
    givers = {fact: i for i, step in enumerate(steps) for fact in step.gives}
    enders: dict[Fact, list[int]] = {}
    for i, step in enumerate(steps):
        for fact in step.ends:
            enders.setdefault(fact, []).append(i)
    edges: Edges = [{} for _ in steps]
    for i, step in enumerate(steps):
        for fact, reason in step.needs:
            giver = givers.get(fact)
            if giver == i:  # as a row that refers to itself
                continue
            if giver is not None:
                _wait(edges, i, giver, reason)
            elif fact not in holds:
                raise Blocked([step], [reason])
            for ender in enders.get(fact, ()):
                if ender != i:
                    _wait(edges, ender, i, reason)
    return edges


def _wait(edges: Edges, later: int, earlier: int, reason: Hashable) -> None:
    """A need that no demand asks for is the stronger reason: it cannot be given up."""
    waits = edges[later]
    if earlier not in waits or reason is None:
        waits[earlier] = reason


def _order(edges: Edges) -> list[int]:
    """Everything after what it waits for, as far as that goes."""
    from _heapq import heapify, heappop, heappush  # heapq takes twice as long to import

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


def _ring(edges: Edges) -> list[int]:
    """Steps of which each waits for the next, the last for the first; there must be such a ring."""
    done: set[int] = set()
    for start in range(len(edges)):
        on_way = {start: iter(edges[start])} if start not in done else {}
        while on_way:
            node = next(reversed(on_way))
            following = next(on_way[node], None)
            if following is None:
                done.add(node)
                del on_way[node]
            elif following in on_way:
                nodes = list(on_way)
                return nodes[nodes.index(following) :]
            elif following not in done:
                on_way[following] = iter(edges[following])
    raise AssertionError("no ring")
