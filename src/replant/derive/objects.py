"""Objects and the classes of their slots: all that the solver knows of a domain.

A domain declares kinds of things, a kind its slots, a slot how its value comes about. From that follow the steps that
make a thing so, and what each step needs, gives and ends (`replant.derive.sequence`): what the solver reasons with is
what the simulator runs. A step is ``("make", thing, ((slot, value), …))``, ``("set", thing, slot, value)`` or
``("unmake", thing)``; the reason of a need is the demand it comes from.

| how      | example                            | steps that follow                                       |
|----------|------------------------------------|---------------------------------------------------------|
| BIRTH    | a NOT NULL reference, a shared mm  | part of making the thing: what it refers to comes first |
| FREE     | a nullable reference, a limit      | one, at any time while both sides exist                 |
| ONE_WAY  | sealing a table, setsid, seccomp   | one, after everything that needs the value from before  |
| JOINABLE | a process group, a namespace       | one, while the other is there, if only for this         |

A slot may have several, the best first: a nullable reference is BIRTH or FREE. A thing that is *passing* is made for
the others and unmade when none needs it any more: helpers, keepers, placeholders, temporary numbers.
"""

from __future__ import annotations

from .sequence import Step

BIRTH, FREE, ONE_WAY, JOINABLE = "birth", "free", "one way", "joinable"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from .sequence import Fact

    Demand = tuple[str, str]  # the name of a thing and one of its slots


class Slot:
    """How a value comes about: ``how`` in order of preference.

    ``refers``: the value is the name of another thing. ``while_`` are slots of that other thing that must still have
    the value given when this slot is written; ``before`` are ONE_WAY slots of the thing itself that must not have been
    written yet. ``start`` is the value before, for ONE_WAY slots.
    """

    __slots__ = ("before", "how", "refers", "start", "while_")

    def __init__(
        self,
        *how: str,
        refers: bool = False,
        while_: Mapping[str, Hashable] | None = None,
        before: Iterable[str] = (),
        start: Hashable = None,
    ) -> None:
        self.before = tuple(before)
        self.how = how
        self.refers = refers
        self.while_ = dict(while_ or {})
        self.start = start


class Kind:
    """A kind of thing: its slots by name."""

    __slots__ = ("name", "slots")

    def __init__(self, name: str, /, **slots: Slot) -> None:
        self.name = name
        self.slots = slots


class Thing:
    """What is to exist: a kind, and the values of slots; ``passing`` things are to be gone at the end."""

    __slots__ = ("kind", "passing", "values")

    def __init__(self, kind: str, /, passing: bool = False, **values: Hashable) -> None:
        self.kind = kind
        self.passing = passing
        self.values = values


def exists(name: str) -> Fact:
    """The fact that a thing is there."""
    return ("exists", name)


def steps_for(name: str, thing: Thing, kind: Kind, how: Mapping[Demand, str]) -> list[Step]:
    """The steps that make ``thing`` as it shall be, each slot in the way that ``how`` says."""
    birth = {s: v for s, v in thing.values.items() if how[name, s] == BIRTH}
    needs = [need for s, v in birth.items() for need in _needs(name, s, v, kind.slots[s])]
    starts = [("is", name, s, slot.start) for s, slot in kind.slots.items() if ONE_WAY in slot.how]
    steps = [Step(("make", name, tuple(birth.items())), needs, [exists(name), *starts], ())]
    for slot, value in thing.values.items():
        if slot in birth:
            continue
        here: list[tuple[Fact, Hashable]] = [(exists(name), None)]
        here += _needs(name, slot, value, kind.slots[slot])
        here += [(("is", name, b, kind.slots[b].start), (name, slot)) for b in kind.slots[slot].before]
        ends = [("is", name, slot, kind.slots[slot].start)] if how[name, slot] == ONE_WAY else []
        steps.append(Step(("set", name, slot, value), here, [("is", name, slot, value)], ends))
    if thing.passing:
        steps.append(Step(("unmake", name), [(exists(name), None)], (), [exists(name)]))
    return steps


def _needs(name: str, slot: str, value: Hashable, declared: Slot) -> list[tuple[Fact, Hashable]]:
    """What writing a slot needs: the thing referred to, and that it is still as it must be."""
    if not declared.refers or value is None:
        return []
    demand = (name, slot)
    needs: list[tuple[Fact, Hashable]] = [(("exists", value), demand)]
    needs += [(("is", value, other, wanted), demand) for other, wanted in declared.while_.items()]
    return needs
