"""Why a process tree is impossible, in words, with the fewest tasks that make it so."""

from __future__ import annotations

from ..lineage import FOUNDER, grow
from ..search import Stuck
from .target import Impossible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .target import Target

_TRIES = 400  # solver runs spent on making a core smaller


def refusal(target: Target, above: list[int], cohort: list[int], stuck: Stuck) -> Impossible:
    """The refusal of a tree whose creation tree does not exist.

    The core is minimal in the demands: without any one of its tasks' parents the rest could be made (as far as
    ``_TRIES`` runs of the solver reach; a larger core is still a core).
    """
    involved = _involved(above, cohort, stuck)
    nodes, small_above, small_cohort = _cut_out(above, cohort, involved)
    places = {node: place for place, node in enumerate(nodes)}
    demands = [nodes[i] for i in _minimal(small_above, small_cohort, [places[i] for i in involved])]
    pids = [target.pid[i] for i in demands]
    words = "; ".join(_words(target, i) for i in demands[:8])
    more = f"; and {len(demands) - 8} more" if len(demands) > 8 else ""
    return Impossible(
        "no order of births gives these tasks their parents and sessions together, for a session is inherited at "
        f"birth and a parent stays an ancestor of its child: {words}{more}",
        pids,
    )


def _words(target: Target, i: int) -> str:
    home, parent = target.session[i], target.parent[i]
    sid = target.pid[home] if home else target.outside.sid
    leads = "leads its session" if home == i else f"was born in session {sid}"
    over = target.session[parent]
    place = "the leader of" if over == parent else "of"
    session = target.pid[over] if over else target.outside.sid
    return f"{target.pid[i]} {leads} and is a child of {target.pid[parent]}, {place} session {session}"


def _involved(above: list[int], cohort: list[int], stuck: Stuck) -> list[int]:
    """The tasks with a demand that touches one of the founders that could not be placed."""
    founders = stuck.founders | {0}
    return [
        i
        for i, over in enumerate(above)
        if over and (i if cohort[i] == FOUNDER else cohort[i]) in founders and over != cohort[i]
    ]


def _cut_out(above: list[int], cohort: list[int], involved: list[int]) -> tuple[list[int], list[int], list[int]]:
    """The part of the problem that ``involved`` speaks of: its nodes, numbered anew, without other demands."""
    chosen = {0, *involved, *(above[i] for i in involved)}
    chosen |= {cohort[i] for i in chosen if cohort[i] != FOUNDER}
    nodes = sorted(chosen)
    places = {node: place for place, node in enumerate(nodes)}
    wanted = set(involved)
    small_above = [places[above[node]] if node in wanted else 0 for node in nodes]
    return nodes, small_above, [places.get(cohort[node], FOUNDER) for node in nodes]


def _minimal(above: list[int], cohort: list[int], involved: list[int]) -> list[int]:
    """Drop demands, in halves first, while the rest stays impossible."""
    core, size, tries = involved, max(1, len(involved) // 2), 0
    while True:
        position = 0
        while position < len(core) and tries < _TRIES:
            tries += 1
            rest = core[:position] + core[position + size :]
            if _impossible(above, cohort, rest):
                core = rest
            else:
                position += size
        if size == 1:
            return core
        size //= 2


def _impossible(above: list[int], cohort: list[int], kept: list[int]) -> bool:
    demands = [0] * len(above)
    for i in kept:
        demands[i] = above[i]
    found = grow(demands, cohort)
    return isinstance(found, Stuck) and not found.gave_up
