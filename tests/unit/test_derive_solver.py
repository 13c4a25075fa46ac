"""The general solver, against a real database: what it plans runs, what it calls impossible is."""

from __future__ import annotations

import sqlite3
from itertools import permutations
from random import Random

import pytest

from replant.derive.database import RULES, begin, sql
from replant.derive.objects import BIRTH, FREE, JOINABLE, Kind, Slot, Thing
from replant.derive.solver import Impossible, Plan, solve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from replant.derive.sequence import Step

    Goal = Mapping[str, Thing]


def execute(steps: Iterable[Step], goal: Goal) -> sqlite3.Connection:
    """Run the steps in a fresh database; raises sqlite3.Error where the database refuses."""
    base = sqlite3.connect(":memory:", isolation_level=None)
    for statement in begin() + [line for step in steps for line in sql(step, goal)]:
        base.execute(statement)
    return base


def assert_filled(base: sqlite3.Connection, goal: Goal) -> None:
    for name, thing in goal.items():
        if thing.kind == "row":
            wanted = (thing.values.get("needs"), thing.values.get("knows"), thing.values.get("note"))
            query = f"SELECT needs, knows, note FROM {thing.values['table']} WHERE name = ?"
            assert base.execute(query, (name,)).fetchall() == ([] if thing.passing else [wanted])


def linearised(plan: Plan, rng: Random) -> list[Step]:
    """The plan's steps in a random order that its partial order allows."""
    left, done, order = set(range(len(plan.steps))), set(), []
    while left:
        i = rng.choice(sorted(i for i in left if done.issuperset(plan.after[i])))
        left.discard(i)
        done.add(i)
        order.append(plan.steps[i])
    return order


def random_goal(rng: Random) -> dict[str, Thing]:
    goal: dict[str, Thing] = {"t0": Thing("table"), "t1": Thing("table", sealed=True), "v": Thing("view", of="t1")}
    names = [f"r{i}" for i in range(rng.randrange(1, 6))]
    for name in names:
        values: dict[str, str] = {"table": rng.choice(("t0", "t1"))}
        for slot, chance in (("needs", 0.5), ("knows", 0.6)):
            if rng.random() < chance:
                values[slot] = rng.choice(names)
        goal[name] = Thing("row", **values)
    return goal


def some_order_works(goal: Goal) -> bool:
    """Try to insert the rows in every order, references that may come later written last."""
    tables = [n for n, thing in goal.items() if thing.kind == "table"]
    rows = [n for n, thing in goal.items() if thing.kind == "row"]
    for order in permutations(rows):
        base = sqlite3.connect(":memory:", isolation_level=None)
        lean = {n: Thing(t.kind, **{k: v for k, v in t.values.items() if k == "table"}) for n, t in goal.items()}
        made = solve({n: lean[n] for n in tables}, RULES)
        assert isinstance(made, Plan)
        for statement in begin() + [line for step in made.steps for line in sql(step, lean)]:
            base.execute(statement)
        try:
            for name in order:
                values = goal[name].values
                base.execute(f"INSERT INTO {values['table']} (name, needs) VALUES (?, ?)", (name, values.get("needs")))
        except sqlite3.IntegrityError:
            continue
        return True
    return False


@pytest.mark.parametrize("seed", range(150))
def test_database_agrees(seed: int) -> None:
    rng = Random(seed)
    goal = random_goal(rng)
    found = solve(goal, RULES)
    if isinstance(found, Plan):
        for _ in range(4):
            assert_filled(execute(linearised(found, rng), goal), goal)
    else:
        assert not some_order_works(goal)
        for name, slot in found.core:
            values = {s: v for s, v in goal[name].values.items() if s != slot}
            kept = {n: {s: v for s, v in t.values.items() if (n, s) in found.core} for n, t in goal.items()}
            kept[name] = {s: v for s, v in values.items() if (name, s) in found.core}
            assert isinstance(solve({n: Thing(t.kind, **kept[n]) for n, t in goal.items()}, RULES), Plan)


def test_circle_takes_a_reference_that_can_come_later() -> None:
    goal = {
        "t": Thing("table", sealed=True),
        "a": Thing("row", table="t", needs="b"),
        "b": Thing("row", table="t", knows="a"),
    }
    found = solve(goal, RULES)
    assert isinstance(found, Plan)
    assert ("set", "b", "knows", "a") in [step.op for step in found.steps]
    assert_filled(execute(found.steps, goal), goal)


def test_circle_of_references_given_at_birth_is_the_core() -> None:
    goal = {
        "t": Thing("table"),
        "a": Thing("row", table="t", needs="b"),
        "b": Thing("row", table="t", needs="c", note="n"),
        "c": Thing("row", table="t", needs="a", knows="b"),
        "d": Thing("row", table="t", needs="a"),
    }
    found = solve(goal, RULES)
    assert isinstance(found, Impossible)
    assert found.core == [("a", "needs"), ("b", "needs"), ("c", "needs")]


def test_reference_to_nothing_is_the_core() -> None:
    found = solve({"t": Thing("table"), "a": Thing("row", table="t", needs="ghost")}, RULES)
    assert isinstance(found, Impossible)
    assert found.core == [("a", "needs")]


def test_passing_things_are_gone_after_their_last_use() -> None:
    rules = {
        "group": Kind("group"),
        "task": Kind("task", group=Slot(JOINABLE, refers=True), parent=Slot(BIRTH, refers=True), name=Slot(FREE)),
    }
    goal = {
        "g": Thing("group", passing=True),
        "a": Thing("task", group="g", name="a"),
        "b": Thing("task", group="g", parent="a"),
    }
    found = solve(goal, rules)
    assert isinstance(found, Plan)
    ops = [step.op for step in found.steps]
    assert ops.index(("unmake", "g")) > max(ops.index(("set", t, "group", "g")) for t in ("a", "b"))


def test_steps_run_only_when_their_needs_are_met() -> None:
    goal = {"t": Thing("table", sealed=True), "a": Thing("row", table="t")}
    found = solve(goal, RULES)
    assert isinstance(found, Plan)
    facts: set[tuple[object, ...]] = set()
    insert = next(step for step in found.steps if step.op[:2] == ("make", "a"))
    assert insert.run(facts) and not facts
