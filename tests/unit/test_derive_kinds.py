"""The order of what hangs from tasks comes from declarations."""

from __future__ import annotations

from replant.derive.linux.kinds import KINDS
from replant.derive.objects import Thing
from replant.derive.solver import Impossible, Plan, solve

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
