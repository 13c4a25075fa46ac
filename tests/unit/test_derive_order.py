"""The partial order of a derivation: every order it allows does the same."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from replant.derive import process_tree
from replant.derive.linux.check import differences

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "derive"))
from walks import hard, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.derive.linux.emit import Op


def shuffled(ops: list[Op], before: list[list[int]], rng: Random) -> list[Op]:
    """The operations in a random order in which each comes after those it depends on."""
    missing = [len(b) for b in before]
    after: list[list[int]] = [[] for _ in ops]
    for i, earlier in enumerate(before):
        for j in earlier:
            after[j].append(i)
    ready = [i for i, count in enumerate(missing) if not count]
    order = []
    while ready:
        i = ready.pop(rng.randrange(len(ready)))
        order.append(ops[i])
        for later in after[i]:
            missing[later] -= 1
            if not missing[later]:
                ready.append(later)
    assert len(order) == len(ops)
    return order


@pytest.mark.parametrize("seed", range(60))
def test_any_allowed_order_builds_the_tree(seed: int) -> None:
    rng = Random(seed)
    tree = hard(rng, 25, lifted=0.4) if seed % 3 == 0 else walk(rng, 200, rng.randrange(4, 20))
    found = process_tree(tree)
    before = found.dependencies()
    for _ in range(12):
        assert differences(tree, shuffled(found.ops, before, rng)) == []


def test_tasks_of_different_parents_do_not_wait_for_each_other() -> None:
    tree = [{"pid": p, "ppid": q, "pgid": 1, "sid": 1} for p, q in ((10, 1), (20, 1), (11, 10), (21, 20))]
    found = process_tree(tree)
    before = found.dependencies()
    forks = {op[2]: i for i, op in enumerate(found.ops)}
    assert before[forks[11]] == [forks[10]]
    assert before[forks[21]] == [forks[20]]
