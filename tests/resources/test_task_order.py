"""The words of the task kinds: all of them known, and an order that keeps every one of them."""

from __future__ import annotations

import pytest

from replant.resources import registry, task

KINDS = registry.task_kinds()
STEPS = list(registry.steps().items())


@pytest.mark.parametrize("name", KINDS)
def test_words_are_known(name: str) -> None:
    kind = KINDS[name]
    assert set(kind.USES + kind.SPOILS + kind.SETS) <= task.WORDS
    assert kind.SCOPE in ("process", "thread")
    assert kind.__doc__


def test_every_word_is_used() -> None:
    used = {word for kind in KINDS.values() for word in kind.USES + kind.SPOILS + kind.SETS}
    assert used == task.WORDS


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
        ("memory", "itimers"),
        ("membarrier", "threads"),
        ("threads", "posix_timers"),
        ("threads", "scheduling"),
        ("memory", "rseq"),
        ("memory", "mdwe"),
        ("memory", "personality"),
    ],
)
def test_order(first: str, second: str) -> None:
    names = [name for name, _ in STEPS]
    assert names.index(first) < names.index(second)
