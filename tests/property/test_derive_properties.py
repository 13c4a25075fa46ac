"""What holds for every tree: it is derivable if operations made it, whatever its numbers, and no demand is invented."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from replant.derive import process_tree
from replant.derive.linux.check import START, differences, step

PIDS = st.integers(2, 8)
OPS = st.one_of(
    st.tuples(st.integers(1, 8), st.sampled_from(["fork", "fork_sibling", "wait"]), PIDS),
    st.tuples(PIDS, st.sampled_from(["setsid"])),
    st.tuples(PIDS, st.just("setpgid"), PIDS, PIDS),
    st.tuples(PIDS, st.just("subreaper"), st.integers(0, 1)),
    st.tuples(PIDS, st.just("exit"), st.just(0)),
)


def left_by(ops: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The tree that those of ``ops`` leave which the checker allows."""
    state = START
    for op in ops:
        state = step(state, op) or state
    return [
        {"pid": p, "ppid": r[0], "pgid": r[1], "sid": r[2], "state": "Z" if r[3] else "S", "subreaper": r[4]}
        for p, r in state.items()
        if p != 1
    ]


@settings(max_examples=300)
@given(st.lists(OPS, max_size=60))
def test_what_operations_left_can_be_derived(ops: list[tuple[Any, ...]]) -> None:
    tree = left_by(ops)
    found = process_tree(tree)
    assert found.ok, found.why
    assert differences(tree, found.ops) == []


@settings(max_examples=150)
@given(st.lists(OPS, max_size=60), st.permutations(range(2, 9)), st.randoms(use_true_random=False))
def test_numbers_and_order_do_not_matter(ops: list[tuple[Any, ...]], names: list[int], rng: Any) -> None:
    tree = left_by(ops)
    renamed = {0: 0, 1: 1, **{number: name * 100 for number, name in zip(range(2, 9), names, strict=True)}}
    other = [{**t, **{key: renamed[t[key]] for key in ("pid", "ppid", "pgid", "sid")}} for t in tree]
    rng.shuffle(other)
    found = process_tree(other)
    assert found.ok and differences(other, found.ops) == []


@settings(max_examples=150)
@given(st.lists(OPS, min_size=20, max_size=60), st.data())
def test_changed_trees_are_derived_or_refused_with_tasks_of_the_tree(
    ops: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    tree = left_by(ops)
    if not tree:
        return
    changed = data.draw(st.sampled_from(tree))
    changed[data.draw(st.sampled_from(["ppid", "pgid", "sid"]))] = data.draw(st.integers(0, 9))
    found = process_tree(tree)
    if found.ok:
        assert differences(tree, found.ops) == []
    else:
        assert found.core and set(found.core) <= {n for t in tree for n in (t["pid"], t["ppid"], t["sid"], t["pgid"])}
