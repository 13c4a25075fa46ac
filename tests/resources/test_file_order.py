"""The order in which kinds of files are made and attached: from their words, none of which is idle."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from replant.errors import Bug
from replant.resources import files, order, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

KINDS: dict[str, Any] = {n: registry.file_kind(n) for n in ("control_group", "eventpoll", "path", "pidfd", "regular")}


def words(kind: object, which: str, hook: str) -> tuple[str, ...]:
    usual = {"USES": files.USUAL_USES, "GIVES": files.USUAL_GIVES}[which]
    declared: dict[str, tuple[str, ...]] = getattr(kind, which, usual)
    return declared.get(hook, usual[hook])


def declared() -> Iterator[tuple[str, str, str, str]]:
    for name, kind in KINDS.items():
        for hook in ("make", "attach"):
            yield from ((name, "USES", hook, word) for word in words(kind, "USES", hook))


def test_order() -> None:
    assert order.levels(KINDS, "make") == {"control_group": 0, "eventpoll": 1, "path": 2, "pidfd": 1, "regular": 1}
    assert order.levels(KINDS, "attach") == {"control_group": 0, "eventpoll": 1, "path": 0, "pidfd": 0, "regular": 0}


def test_what_is_not_there_is_not_waited_for() -> None:
    assert order.levels({"path": KINDS["path"]}, "make") == {"path": 0}


@pytest.mark.parametrize(("name", "which", "hook", "word"), list(declared()))
def test_every_word_keeps_something_in_order(name: str, which: str, hook: str, word: str) -> None:
    kind = KINDS[name]
    less = SimpleNamespace(USES={hook: tuple(w for w in words(kind, which, hook) if w != word)})
    less.GIVES = {hook: words(kind, "GIVES", hook)}
    pairs = [{other: KINDS[other], name: kind} for other in KINDS if other != name]
    assert any(order.levels({**pair, name: less}, hook) != order.levels(pair, hook) for pair in pairs)


def test_kinds_that_wait_for_each_other_are_told() -> None:
    one = SimpleNamespace(USES={"make": ("descriptions",)})
    with pytest.raises(Bug, match="a, b"):
        order.levels({"a": one, "b": one}, "make")
