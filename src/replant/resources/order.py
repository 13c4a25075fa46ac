"""Puts kinds in the order in which they can be made: users of a thing before those who spoil it, setters after.

The words of ``USES``, ``SPOILS`` and ``SETS`` are the whole knowledge (`replant.resources.task` lists them): the order
is derived, and a cycle is an error that names the kinds on it. What the conductor does itself (memory, threads) is a
`Given` step in the same order.
"""

from __future__ import annotations

from replant.errors import Bug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    S = TypeVar("S")

#: words that are facts of one thread: what another thread does never spoils them
OF_A_THREAD = frozenset({"privilege", "pdeathsig"})


class Given:
    """A step that is no kind: it makes the words of ``GIVES`` true for whoever uses them."""

    SETS: tuple[str, ...] = ()
    SCOPE = "process"

    def __init__(self, *, gives: tuple[str, ...], uses: tuple[str, ...] = (), spoils: tuple[str, ...] = ()) -> None:
        self.GIVES, self.USES, self.SPOILS = gives, uses, spoils


def arrange(steps: dict[str, S]) -> dict[str, S]:
    """The same steps, each after everything that must precede it; ties by name, so that the order is stable.

    :raises Bug: the words form a cycle.
    """
    before = {name: _predecessors(name, steps) for name in steps}
    done: dict[str, S] = {}
    while len(done) < len(steps):
        ready = [n for n in sorted(before) if n not in done and before[n] <= done.keys()]
        if not ready:
            raise Bug(f"steps wait for each other: {sorted(steps.keys() - done.keys())}")
        done.update({n: steps[n] for n in ready})
    return done


def _predecessors(name: str, steps: dict[str, S]) -> set[str]:
    uses, spoils, sets = (_words(steps[name], w) for w in ("USES", "SPOILS", "SETS"))
    return {
        other
        for other, step in steps.items()
        if other != name
        and (spoils & _words(step, "USES") or sets & _words(step, "SPOILS") or uses & _words(step, "GIVES"))
    }


def late(steps: dict[str, S]) -> frozenset[str]:
    """Steps that set a fact of the process which another thread may spoil: they wait for all threads."""
    spoiled = frozenset().union(*(_words(s, "SPOILS") for s in steps.values())) - OF_A_THREAD
    only_leader = {n for n, s in steps.items() if getattr(s, "SCOPE", "") == "process"}
    by_threads = frozenset().union(*(_words(s, "SPOILS") for n, s in steps.items() if n not in only_leader))
    return frozenset(
        name
        for name, step in steps.items()
        if _words(step, "SETS") & (by_threads - OF_A_THREAD if name in only_leader else spoiled)
    )


def _words(step: object, which: str) -> frozenset[str]:
    return frozenset(getattr(step, which, ()))
