"""Derivations of process trees: every small tree, random large ones, and what no process tree can be."""

from __future__ import annotations

import io
import json
import sys
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from replant.derive import Outside, process_tree
from replant.derive.linux.check import differences
from replant.derive.linux.rules import RULES, Tasks
from replant.derive.linux.target import Target
from replant.derive.rules import attempt, simulate
from replant.derive.stream import answer
from replant.errors import UsageError

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "derive"))
from spaces import Space, described, thaw
from walks import hard, random_op, walk


def tasks(*rows: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Rows ``pid, ppid, pgid, sid[, state[, subreaper]]`` as tasks."""
    return [dict(zip(("pid", "ppid", "pgid", "sid", "state", "subreaper"), row, strict=False)) for row in rows]


def assert_derived(tree: list[dict[str, Any]]) -> int:
    found = process_tree(tree)
    assert found.ok, (tree, found.why)
    assert differences(tree, found.ops) == [], tree
    return len(found.ops)


@pytest.mark.parametrize(("most", "subreapers", "states"), [(3, True, 484), (4, False, 6930), (4, True, 29771)])
def test_every_state_of_a_small_space(most: int, subreapers: bool, states: int) -> None:
    space = Space(most, subreapers)
    assert len(space.depth) == states
    chosen = list(space.depth) if states < 10_000 else Random(1).sample(list(space.depth), 6000)
    steps = shortest = 0
    for table in chosen:
        length = assert_derived(described(thaw(table)))
        assert length <= space.depth[table] + 3
        steps += length
        shortest += space.depth[table]
    assert steps <= 1.03 * shortest


@pytest.mark.parametrize("seed", range(40))
def test_what_random_operations_leave(seed: int) -> None:
    rng = Random(seed)
    for _ in range(40):
        assert_derived(walk(rng, rng.randrange(5, 300), rng.randrange(3, 40)))


@pytest.mark.parametrize("size", [300, 1000])
def test_hard_class(size: int) -> None:
    for seed in range(25):
        tree = hard(Random(seed), size)
        found = process_tree(tree, budget=2000)
        assert found.ok, (seed, found.why)
    assert differences(tree, found.ops) == []


def test_impossible_trees_of_three_tasks_are_not_reachable() -> None:
    """Every combination of parents and sessions: refused exactly if the space of all states does not have it."""
    space = Space(4, False)
    reachable = {_lineage(described(thaw(t))) for t in space.depth}
    outcomes = set()
    for parents in product((1, 2, 3, 4), repeat=3):
        for sids in product((1, 2, 3, 4, 5, 6), repeat=3):
            tree = tasks(*((p, parents[p - 2], sids[p - 2], sids[p - 2]) for p in (2, 3, 4)))
            found = process_tree(tree)
            outcomes.add(found.ok)
            if found.ok:
                assert differences(tree, found.ops) == []
            else:
                assert _lineage(tree) not in reachable, (tree, found.why)
                assert found.core
    assert outcomes == {True, False}


def _lineage(tree: list[dict[str, Any]]) -> frozenset[tuple[int, int, int]]:
    return frozenset((t["pid"], t["ppid"], t["sid"]) for t in tree)


@pytest.mark.parametrize(
    ("tree", "core"),
    [
        (tasks((10, 1, 1, 1), (10, 1, 1, 1)), [10]),
        (tasks((10, 9, 1, 1)), [10]),
        (tasks((10, 11, 1, 1), (11, 10, 1, 1)), [10, 11]),
        (tasks((10, 1, 1, 1, "Z"), (11, 10, 1, 1)), [10, 11]),
        (tasks((10, 1, 1, 10)), [10]),
        (tasks((10, 1, 1, 1), (11, 1, 11, 10)), [10, 11]),
        (tasks((10, 1, 10, 10), (11, 1, 10, 1)), [10, 11]),
        (tasks((10, 1, 7, 1), (11, 1, 7, 8)), [10, 11]),
        (tasks((10, 1, 0, 0)), [10]),
        (tasks((10, 1, 0, 1)), [10]),
        (tasks((1, 0, 1, 1, "Z"), (10, 1, 1, 1)), [1]),
        (tasks((10, 1, 10, 10), (11, 10, 10, 10), (20, 1, 20, 20), (21, 11, 20, 20), (12, 21, 10, 10)), [12, 21]),
    ],
)
def test_what_no_tree_can_be(tree: list[dict[str, Any]], core: list[int]) -> None:
    found = process_tree(tree)
    assert not found.ok and not found.gave_up
    assert set(core) <= set(found.core), found.why
    assert found.as_dict()["ok"] is False and found.why


def test_the_core_is_minimal() -> None:
    trees = [t for t in (_random_claim(Random(seed)) for seed in range(2000)) if not process_tree(t).ok]
    checked = 0
    for tree in trees:
        found = process_tree(tree)
        if "no order of births" not in found.why:
            continue
        checked += 1
        for pid in found.core:
            freed = [{**t, "ppid": 1} if t["pid"] == pid else t for t in tree]
            kept = [{**t, "ppid": t["ppid"] if t["pid"] in found.core else 1} for t in freed]
            assert process_tree(kept).ok, (tree, found.core)
    assert checked > 50


def _random_claim(rng: Random) -> list[dict[str, Any]]:
    pids = range(2, 7)
    leads = [p for p in pids if rng.random() < 0.5]
    sid = {p: p if p in leads else rng.choice([1, *leads]) for p in pids}
    return tasks(*((p, rng.choice([1, *range(2, p)]), sid[p], sid[p]) for p in pids))


def test_a_tree_below_its_creator_inherits_what_lies_outside() -> None:
    outside = Outside(0, pgid=70, sid=60, groups=(75,))
    tree = tasks((100, 50, 70, 60), (101, 100, 75, 60), (102, 100, 102, 60), (103, 101, 40, 40))
    found = process_tree(tree, outside=outside, avoid=range(2, 1000))
    assert found.ok, found.why
    assert found.helpers == [40]
    state = Tasks(0, 70, 60, (75,))
    simulate(state, RULES, found.ops)
    assert state.pgid[101] == 75 and state.sid[103] == 40 and state.ppid[100] == 0


def test_a_namespace_whose_init_has_numbers_from_outside() -> None:
    tree = tasks((1, 0, 0, 0), (10, 1, 0, 0), (11, 10, 11, 0), (12, 10, 12, 12))
    found = process_tree(tree)
    assert found.ok, found.why
    assert differences(tree, found.ops, {1: (0, 0, 0, False, False)}) == []


def test_deep_chains_need_no_stack() -> None:
    sid = [p - p % 3 if p > 2 else 1 for p in range(20_002)]
    found = process_tree({"pid": p, "ppid": p - 1, "pgid": sid[p], "sid": sid[p]} for p in range(2, 20_002))
    assert found.ok


def test_giving_up_is_said_plainly() -> None:
    tree = hard(Random(3), 300)
    found = process_tree(tree, budget=1)
    assert not found.ok and found.gave_up and found.as_dict()["gave_up"] is True


@pytest.mark.parametrize(
    "line",
    [
        '{"tasks": [], "children_only": 1}',
        "[]",
        "{",
        '{"tasks": [{"pid": 10}]}',
        '{"tasks": [{"pid": 1, "x": 2}]}',
        '{"tasks": [{"pid": 10, "ppid": "1", "pgid": 1, "sid": 1}]}',
        '{"tasks": [{"pid": 10, "ppid": 1, "pgid": 1, "sid": 1, "state": "?"}]}',
    ],
)
def test_what_is_not_understood_is_refused_by_name(line: str) -> None:
    with pytest.raises(UsageError) as refused:
        answer([line], io.StringIO())
    assert refused.value.hint
    if "children_only" in line:
        assert "children_only" in str(refused.value)


def test_answers_stream_in_order() -> None:
    lines = [json.dumps({"tasks": tasks((p, 1, p, p))}) + "\n" for p in range(2, 50)]
    out = io.StringIO()
    answer(iter(lines), out)
    answers = [json.loads(text) for text in out.getvalue().splitlines()]
    assert [a["ops"][0] for a in answers] == [[1, "fork", p] for p in range(2, 50)]
    assert all(a["ok"] and a["tries"] == 1 for a in answers)


def test_every_precondition_matters() -> None:
    """Drop any one condition of any rule: the independent reading of the manual must notice."""
    from replant.derive.linux import check

    for name, rule in RULES.items():
        for number in range(len(rule.conditions)):
            mutant = {**RULES, name: rule.without(number)}
            assert _notices(mutant, check), (name, rule.conditions[number])
    assert not _notices(RULES, check)


def _notices(rules: dict[str, Any], check: Any) -> bool:
    """Whether some random operation is allowed by ``rules`` and refused by the checker, or the other way round."""
    rng = Random(1)
    for _ in range(60):
        mine = Tasks()
        theirs = check.START
        execed: set[int] = set()
        for _ in range(120):
            op = _any_op(rng, mine)
            try:
                allowed = attempt(mine, rules, op) is None
            except (KeyError, AttributeError):
                return True
            after = None if _is_after_exec(op, execed) else check.step(theirs, op)
            after = theirs if op[1] == "exec" and op[0] in theirs and not theirs[op[0]][3] else after
            if allowed != (after is not None):
                return True
            if op[1] == "exec" and allowed:
                execed.add(int(op[0]))
            execed &= set(mine.ppid)
            theirs = theirs if after is None else after
    return False


def _any_op(rng: Random, state: Tasks) -> tuple[Any, ...]:
    op = random_op(rng, state, range(2, 8), exec_too=True)
    return (rng.choice(list(state.ppid)), *op[1:]) if rng.random() < 0.2 else op


def _is_after_exec(op: tuple[Any, ...], execed: set[int]) -> bool:
    return bool(op[1] == "setpgid" and op[2] != op[0] and op[2] in execed)


def test_targets_take_objects_and_mappings() -> None:
    class Row:
        pid, ppid, pgid, sid, state, subreaper = 10, 1, 10, 10, "S", True

    assert Target([Row()]).subreaper[1] == 1
    assert process_tree([Row()]).ops[-1] == (10, "subreaper", 1)
