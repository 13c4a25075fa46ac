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
OF_A_THREAD = frozenset({"privilege", "pending", "pdeathsig"})


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
    before = _predecessors(steps)
    done: dict[str, S] = {}
    while len(done) < len(steps):
        ready = [n for n in sorted(before) if n not in done and before[n] <= done.keys()]
        if not ready:
            raise Bug(f"steps wait for each other: {sorted(steps.keys() - done.keys())}")
        done.update({n: steps[n] for n in ready})
    return done


def _predecessors(steps: dict[str, S]) -> dict[str, set[str]]:
    """For each step those that must come before it."""
    users, spoilers, givers = (_by_word(steps, which) for which in ("USES", "SPOILS", "GIVES"))
    nobody: set[str] = set()
    before: dict[str, set[str]] = {}
    for name, step in steps.items():
        earlier: set[str] = set()
        for which, others in (("SPOILS", users), ("SETS", spoilers), ("USES", givers)):
            for word in getattr(step, which, ()):
                earlier |= others.get(word, nobody)
        before[name] = earlier - {name}
    return before


def _by_word(steps: dict[str, S], which: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, step in steps.items():
        for word in getattr(step, which, ()):
            found.setdefault(word, set()).add(name)
    return found


def late(steps: dict[str, S]) -> frozenset[str]:
    """What the leader does only when all threads have done their part, in the order of ``steps``.

    It spoils a fact of the process that a thread may still use, sets one that a thread may still spoil, or comes after
    such a step. (What it does before it clones its threads is no matter: they begin after that.)
    """
    threads = [s for s in steps.values() if getattr(s, "SCOPE", "") == "thread"]
    used, spoiled = (frozenset().union(*(_words(s, w) for s in threads)) - OF_A_THREAD for w in ("USES", "SPOILS"))
    before, waiting = _predecessors(steps), set[str]()
    for name, step in steps.items():  # they are in order, so one pass is enough
        process = getattr(step, "SCOPE", "") == "process" and not isinstance(step, Given)
        waits = process and (_words(step, "SPOILS") & used or _words(step, "SETS") & spoiled)
        if waits or before[name] & waiting:
            waiting.add(name)
    return frozenset(waiting)


def _words(step: object, which: str) -> frozenset[str]:
    return frozenset(getattr(step, which, ()))
