"""The words of the task kinds: all of them known, an order that keeps every one of them, and none that is idle."""

from __future__ import annotations

import pytest

from replant.resources import order, registry, steps, task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

KINDS = registry.task_kinds()
ORDER = steps.process_order()
DECLARED: dict[str, Any] = {**KINDS, **steps.STEPS}


def arranged(declared: dict[str, Any]) -> order.Order:
    return order.arranged(declared, task.HOLDS, task.OF_A_THREAD)


@pytest.mark.parametrize("name", KINDS)
def test_words_are_known(name: str) -> None:
    kind = KINDS[name]
    assert set(kind.USES + kind.SPOILS + kind.SETS) <= task.WORDS.keys()
    assert kind.SCOPE in ("process", "thread")
    assert kind.__doc__


def test_every_word_is_used() -> None:
    used = {word for kind in DECLARED.values() for word in kind.USES + kind.SPOILS + kind.SETS}
    assert used == task.WORDS.keys()
    assert task.WORDS.keys() >= task.HOLDS | task.OF_A_THREAD


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("credentials", "dumpable"),
        ("credentials", "parent_death"),
        ("limits", "credentials"),
        ("scheduling", "credentials"),
        ("posix_timers", "credentials"),
        ("pending", "limits"),
        ("mm", "limits"),
        ("descriptors", "limits"),
        ("sigactions", "pending"),
        ("itimers", "sigactions"),
        ("posix_timers", "pending"),
        ("sigactions", "threads"),
        ("contents", "itimers"),
        ("membarrier", "threads"),
        ("threads", "posix_timers"),
        ("threads", "scheduling"),
        ("contents", "rseq"),
        ("protections", "mdwe"),
        ("mappings", "personality"),
        ("contents", "extended state"),
        ("mappings", "contents"),
        ("contents", "protections"),
        ("protections", "advice"),
        ("thp", "contents"),
        ("advice", "limits"),
        ("mm", "closing"),
    ],
)
def test_order(first: str, second: str) -> None:
    assert ORDER.leader.index(first) < ORDER.leader.index(second)


def test_a_leader_waits_for_its_threads_with_what_they_still_need() -> None:
    assert set(ORDER.late) == {"limits", "credentials", "parent_death", "dumpable"}
    assert ("thread", "pending", "room") in set(ORDER.waits("limits"))
    assert ORDER.thread.index("scheduling") < ORDER.thread.index("credentials") < ORDER.thread.index("parent_death")


def dropped() -> Iterator[tuple[str, str, str]]:
    """Each word of each declaration."""
    for name, kind in DECLARED.items():
        for which in ("USES", "SPOILS", "SETS"):
            for word in getattr(kind, which):
                yield name, which, word


def relation(declared: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    """Who waits for whom."""
    found = arranged(declared)
    return {
        (who, name, *waited[:2])
        for who, names in ((order.LEADER, found.leader), (order.THREAD, found.thread))
        for name in names
        for waited in found.waits(name, who)
    }


@pytest.mark.parametrize(("name", "which", "word"), list(dropped()))
def test_every_word_keeps_something_in_order(name: str, which: str, word: str) -> None:
    """Without it there is no order, or one that a use, an end or a setting of that word forbids."""
    kind = DECLARED[name]
    words = {w: tuple(x for x in getattr(kind, w) if (w, x) != (which, word)) for w in ("USES", "SPOILS", "SETS")}
    less = order.Given(gives=getattr(kind, "GIVES", ()), uses=words["USES"], spoils=words["SPOILS"], scope=kind.SCOPE)
    less.SETS = words["SETS"]
    assert relation({**DECLARED, name: less}) < relation(DECLARED)
