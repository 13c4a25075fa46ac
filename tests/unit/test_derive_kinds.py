"""The order of what hangs from tasks comes from declarations."""

from __future__ import annotations

import pytest

from replant.derive.database import RULES
from replant.derive.linux.kinds import KINDS
from replant.derive.objects import Kind, Slot, Thing
from replant.derive.solver import Impossible, Plan, solve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

GOAL = {
    "u": Thing("user namespace"),
    "v": Thing("user namespace", parent="u"),
    "net": Thing("namespace", owner="v"),
    "a": Thing("task", user_namespace="v", namespace="net", limits=7, credentials="1000", seccomp="strict"),
    "b": Thing("task", parent="a", shares_memory="a", seccomp="strict"),
    "t": Thing("thread", of="a"),
    "left": Thing("socket", namespace="net", peer="right"),
    "right": Thing("socket", namespace="net", peer="left"),
    "m1": Thing("message", socket="left", carries="left"),
    "m2": Thing("message", socket="left", after="m1", carries="right"),
    "outer": Thing("description", namespace="net"),
    "inner": Thing("description", namespace="net"),
    "w": Thing("watch", epoll="outer", on="inner"),
    "fd3": Thing("fd", task="a", description="outer"),
}


def planned() -> list[tuple[object, ...]]:
    found = solve(GOAL, KINDS)
    assert isinstance(found, Plan)
    return [step.op[:3] if step.op[0] == "set" else step.op[:2] for step in found.steps]


def assert_order(ops: list[tuple[object, ...]], *steps: tuple[object, ...]) -> None:
    places = [ops.index(step) for step in steps]
    assert places == sorted(places)


def test_owners_come_first_and_rights_are_dropped_last() -> None:
    ops = planned()
    assert_order(ops, ("make", "u"), ("make", "v"), ("make", "net"), ("set", "a", "namespace"))
    for slot in ("user_namespace", "namespace", "limits"):
        assert_order(ops, ("set", "a", slot), ("set", "a", "credentials"), ("set", "a", "seccomp"))
    assert_order(ops, ("make", "fd3"), ("set", "a", "seccomp"))


def test_queues_are_filled_in_order_when_all_ends_exist() -> None:
    ops = planned()
    assert_order(ops, ("make", "left"), ("make", "m1"), ("make", "m2"))
    assert_order(ops, ("make", "right"), ("make", "m2"))
    assert_order(ops, ("make", "inner"), ("make", "w"))


def test_messages_that_follow_each_other_are_the_core() -> None:
    goal = {"m": Thing("message", socket="s", after="n"), "n": Thing("message", after="m"), "s": Thing("socket")}
    found = solve(goal, KINDS)
    assert isinstance(found, Impossible)
    assert found.core == [("m", "after"), ("n", "after")]


#: something in every slot of every kind
FULL = {
    **GOAL,
    "fs": Thing("namespace", owner="u"),
    "pts": Thing("terminal", master="outer"),
    "d": Thing("description", namespace="fs", state="open"),
    "c": Thing("task", parent="a", shares_memory="b", session="c", terminal="pts", credentials="0", seccomp="strict"),
    "e": Thing("task", parent="a", shares_files="b"),
    "t2": Thing("thread", of="c", seccomp="strict"),
    "rows": Thing("table", sealed=True),
    "r": Thing("row", table="rows", needs="s", knows="q", note="n"),
    "q": Thing("row", table="rows"),
    "s": Thing("row", table="rows"),
    "v1": Thing("view", of="rows"),
}
ALL = {**KINDS, **RULES}


def parts() -> Iterator[tuple[str, str, str, str]]:
    """Each precondition that a slot declares."""
    for name, kind in ALL.items():
        for slot, how in kind.slots.items():
            if how.refers:
                yield name, slot, "refers", ""
            yield from ((name, slot, "while_", other) for other in how.while_)
            yield from ((name, slot, "before", other) for other in how.before)


def waits(rules: dict[str, Kind]) -> set[tuple[str, str]]:
    """Which step waits for which, directly."""
    found = solve(FULL, rules)
    assert isinstance(found, Plan)
    return {(repr(step), repr(found.steps[j])) for step, j_s in zip(found.steps, found.after, strict=True) for j in j_s}


@pytest.mark.parametrize(("name", "slot", "what", "other"), list(parts()))
def test_every_precondition_keeps_steps_in_order(name: str, slot: str, what: str, other: str) -> None:
    how = ALL[name].slots[slot]
    less = Slot(
        *how.how,
        refers=how.refers and what != "refers",
        while_={s: v for s, v in how.while_.items() if (what, other) != ("while_", s)},
        before=[s for s in how.before if (what, other) != ("before", s)],
        start=how.start,
    )
    assert waits({**ALL, name: Kind(name, **{**ALL[name].slots, slot: less})}) != waits(ALL)
