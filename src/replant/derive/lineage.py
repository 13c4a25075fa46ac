"""Who must create whom: the creation tree behind a tree in which cohorts are inherited at birth.

Nodes are numbers; node 0 exists before everything. Every other node is created by some node and

- must have a given node *above* it (a proper ancestor in the creation tree): a parent relation that can later be
  moved up to any ancestor, but never sideways;
- is born into its creator's cohort. A *member* belongs to one cohort for ever. A *founder* is born into any cohort,
  creates what it likes there, and then founds its own: it holds two cohorts, one after the other.

So the members of a cohort and the founders born into it form a connected part of the creation tree, hanging from the
cohort's founder, and the one real choice is where each founder is born. ``docs/derivation.md`` proves the search exact.
"""

from __future__ import annotations

from .search import Chain, Stuck, search

FOUNDER = -1
"""The cohort of a node that founds its own."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_CLIMB = 64  # steps walked up to find one requirement above another before it is left to the search


class Growth:
    """A creation tree: ``parent[v]`` creates ``v``; ``born[v]`` is the founder of the cohort ``v`` is born into."""

    __slots__ = ("born", "parent", "tries")

    def __init__(self, parent: list[int], born: list[int], tries: int) -> None:
        self.parent = parent
        self.born = born
        self.tries = tries


class _Needs:
    """What the founders demand of each other, collected from the demands of all nodes.

    ``needs[f]`` are nodes that must be above founder ``f``; ``anchors[f]`` founders that must be above ``f`` or be
    born into its cohort, because a member of that cohort must have them above.
    """

    __slots__ = ("anchors", "needs")

    def __init__(self, above: Sequence[int], cohort: Sequence[int]) -> None:
        self.needs: dict[int, set[int]] = {}
        self.anchors: dict[int, set[int]] = {}
        for node, over in enumerate(above):
            home = cohort[node]
            if not over or over == home:
                continue
            if home == FOUNDER:
                self.needs.setdefault(node, set()).add(over)
            elif cohort[over] == FOUNDER:
                self.anchors.setdefault(home, set()).add(over)
            elif cohort[over] != home:
                self.needs.setdefault(home, set()).add(over)

    def wish(self, founder: int, home: int) -> None:
        """Let ``founder`` be born into the cohort of ``home`` instead of standing above it."""
        self.anchors.get(home, set()).discard(founder)
        self.needs.setdefault(founder, set()).add(home)

    def of(self, founder: int) -> set[int]:
        """Everything founder ``founder`` waits for."""
        return self.needs.get(founder, set()) | self.anchors.get(founder, set())


def grow(
    above: Sequence[int],
    cohort: Sequence[int],
    budget: int = 1 << 20,
    births: Mapping[int, int] | None = None,
) -> Growth | Stuck:
    """The creation tree for ``above`` and ``cohort`` (both indexed by node, entry 0 being ``0`` and ``FOUNDER``).

    ``above[v]`` is 0 where nothing is demanded; followed upwards it leads to 0 from everywhere. ``cohort[v]`` is the
    founder of a member's cohort, or ``FOUNDER``.
    ``budget`` bounds the attempts of the search. ``births`` are wishes: founders and the cohorts they are best born
    into, heard where that costs no solution. :return: the tree, or the founders that cannot be placed.
    """
    births = dict(births or {})
    demands, loose = _loosen(above, cohort, births)
    if demands.needs.get(0):
        return Stuck(frozenset({0}), 0, gave_up=False)
    core = [f for f, home in enumerate(cohort) if home == FOUNDER and f and f not in loose]
    found = _search_core(core, above, cohort, demands, budget)
    if isinstance(found, Stuck):
        return grow(above, cohort, budget) if births else found
    return _plant(above, cohort, demands, loose, found, births)


def _loosen(above: Sequence[int], cohort: Sequence[int], births: dict[int, int]) -> tuple[_Needs, dict[int, int]]:
    """The demands, and the founders that can be set aside; wishes that cannot be had this way are dropped."""
    while True:
        demands = _Needs(above, cohort)
        for founder, home in births.items():
            demands.wish(founder, home)
        loose = _peel(above, cohort, demands, births)
        vain = [f for f, home in births.items() if not _shares(loose.get(f), home, cohort, births)]
        if not vain:
            return demands, loose
        for founder in vain:
            del births[founder]


def _shares(node: int | None, home: int, cohort: Sequence[int], births: Mapping[int, int]) -> bool:
    """Whether a child of ``node`` can be born into the cohort of ``home``."""
    return node is not None and (node == home or cohort[node] == home or births.get(node) == home)


def _peel(above: Sequence[int], cohort: Sequence[int], demands: _Needs, births: Mapping[int, int]) -> dict[int, int]:
    """Founders that cannot matter to any other, each with the node to be created by.

    A founder nobody waits for, whose own demands lie one above the other, fits directly under the lowest of them
    wherever that is. Without it others may become loose in turn; real trees come apart completely.
    """
    awaited = _count_waiting(above, cohort, demands, births)
    loose: dict[int, int] = {}
    todo = [f for f, home in enumerate(cohort) if home == FOUNDER and f and f not in awaited]
    while todo:
        founder = todo.pop()
        wanted = demands.of(founder)
        lowest = _lowest(wanted, above, cohort, births, demands)
        if lowest is None:
            continue
        loose[founder] = lowest
        for owner in _owners(wanted, above, cohort, births):
            awaited[owner] -= 1
            if not awaited[owner]:
                todo.append(owner)
    return loose


def _owners(nodes: Iterable[int], above: Sequence[int], cohort: Sequence[int], births: Mapping[int, int]) -> set[int]:
    """The founders on whose placement the places of ``nodes`` depend."""
    owners = set()
    for node in nodes:
        home = cohort[node]
        owners.add(node if home == FOUNDER else home)
        if births and home != FOUNDER:
            anchor = _anchor(node, above, cohort)
            if births.get(anchor) == home:
                owners.add(anchor)
    return owners - {0}


def _count_waiting(
    above: Sequence[int], cohort: Sequence[int], demands: _Needs, births: Mapping[int, int]
) -> dict[int, int]:
    awaited: dict[int, int] = {}
    for founder in demands.needs.keys() | demands.anchors.keys():
        for owner in _owners(demands.of(founder), above, cohort, births):
            awaited[owner] = awaited.get(owner, 0) + 1
    return awaited


def _lowest(
    wanted: set[int],
    above: Sequence[int],
    cohort: Sequence[int],
    births: Mapping[int, int],
    demands: _Needs,
) -> int | None:
    """The one of ``wanted`` that is below all others in every creation tree, if that is plain to see."""
    if len(wanted) < 2:
        return next(iter(wanted), 0)
    for start in wanted:
        node, missing = start, len(wanted) - 1
        for _ in range(_CLIMB):
            node = _known_ancestor(node, above, cohort, births, demands)
            missing -= node in wanted
            if not node or not missing:
                break
        if not missing:
            return start
    return None


def _known_ancestor(
    node: int, above: Sequence[int], cohort: Sequence[int], births: Mapping[int, int], demands: _Needs
) -> int:
    """The nearest ancestor that ``node`` has in every creation tree that heeds the wishes, as far as is plain."""
    home, over = cohort[node], above[node]
    if node in births:
        return over if _shares(over, births[node], cohort, births) else births[node]
    if home == FOUNDER and not over:
        needs = demands.needs.get(node, ())
        return next(iter(needs)) if len(needs) == 1 else 0
    if home == FOUNDER or over == home or cohort[over] == home:
        return over
    return home


def _anchor(node: int, above: Sequence[int], cohort: Sequence[int]) -> int:
    """The founder a member waits for inside its cohort, or 0: found by climbing while the cohort stays the same."""
    home = cohort[node]
    while above[node] and cohort[above[node]] == home:
        node = above[node]
    over = above[node]
    return over if over != home and cohort[over] == FOUNDER else 0


def _search_core(
    core: list[int], above: Sequence[int], cohort: Sequence[int], demands: _Needs, budget: int
) -> list[Chain] | Stuck:
    """Hand the founders that do wait for each other to the exact search."""
    if not core:
        return []
    after: dict[int, set[int]] = {f: set() for f in core}
    inside: dict[int, set[tuple[int, int]]] = {f: set() for f in core}
    for founder in core:
        for node in demands.needs.get(founder, ()):
            if cohort[node] == FOUNDER:
                after[founder].add(node)
            else:
                inside[founder].add((cohort[node], _anchor(node, above, cohort)))
    return search(core, after, inside, demands.anchors, budget)


def _plant(
    above: Sequence[int],
    cohort: Sequence[int],
    demands: _Needs,
    loose: dict[int, int],
    chains: list[Chain],
    births: Mapping[int, int],
) -> Growth:
    """Turn places into creators: as close to the demanded ancestor as the demands of others allow."""
    tries = 1 + sum(chain.tries for chain in chains)
    born = list(cohort)
    place: dict[int, int] = {}
    for chain in chains:
        for position, founder in enumerate(chain.founders, 1):
            born[founder] = chain.home
            place[founder] = position
    for founder, node in loose.items():
        born[founder] = births.get(founder, node if cohort[node] == FOUNDER else cohort[node])
    parent = [
        over if over == home or born[over] == home or cohort[node] == FOUNDER else home
        for node, (over, home) in enumerate(zip(above, born, strict=True))
    ]
    parent[0] = 0
    for founder, node in loose.items():
        parent[founder] = node
    if place:
        _Hanging(above, cohort, demands, born, parent, place).hang()
    return Growth(parent, born, tries)


class _Hanging:
    """Hang the founders of the core: each below everything that it and all that is born inside it demand.

    Inside one cohort the demands on a node are a set; the last of them in the order of the chain becomes its creator,
    which then has to have the others above itself. So demands move up until they are one path.
    """

    def __init__(
        self,
        above: Sequence[int],
        cohort: Sequence[int],
        demands: _Needs,
        born: list[int],
        parent: list[int],
        place: dict[int, int],
    ) -> None:
        self.above, self.cohort, self.demands = above, cohort, demands
        self.born, self.parent, self.place = born, parent, place
        self.wanted: dict[int, set[int]] = {}

    def hang(self) -> None:
        """Set ``parent`` for every founder with a place, and for members that have to move below others."""
        from heapq import heapify, heappop, heappush

        for founder in self.place:
            self.parent[founder] = self.born[founder]
            self.wanted.setdefault(founder, set())
            for node in self.demands.of(founder):
                self._demand(founder, node)
        heap = [(self._key(node), node) for node in self.wanted]
        heapify(heap)
        while heap:
            _, node = heappop(heap)
            for moved in self._settle(node):
                heappush(heap, (self._key(moved), moved))

    def _demand(self, founder: int, node: int) -> None:
        """``node`` has to be above ``founder``: note it at the founder's ancestor that shares a cohort with it."""
        region = self.born[node]
        if node == 0 or region == founder:
            return
        while self.born[founder] != region:
            founder = self.born[founder]
            if founder == node:
                return
        if founder != node:
            self.wanted.setdefault(founder, set()).add(node)

    def _key(self, node: int) -> tuple[int, int]:
        """Later in the chain of the cohort: smaller."""
        if self.cohort[node] == FOUNDER:
            return (-2 * self.place.get(node, 0), 0)
        depth, home, start = 0, self.cohort[node], node
        while self.above[node] and self.cohort[self.above[node]] == home:
            node = self.above[node]
            depth += 1
        anchor = _anchor(start, self.above, self.cohort)
        position = self.place.get(anchor, 0) if anchor and self.born[anchor] == home else 0
        return (-2 * position - 1, -depth)

    def _settle(self, node: int) -> list[int]:
        """Choose the creator of ``node``; :return: the node that newly has demands, if any."""
        wanted = self.wanted[node]
        if self.parent[node] != self.born[node]:
            wanted.add(self.parent[node])
        if not wanted:
            return []
        last = min(wanted, key=lambda n: (self._key(n), n))
        self.parent[node] = last
        wanted.discard(last)
        if not wanted:
            return []
        fresh = last not in self.wanted
        self.wanted.setdefault(last, set()).update(wanted)
        return [last] if fresh else []
