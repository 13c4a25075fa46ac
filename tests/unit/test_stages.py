"""The stages of a restore: their order follows from what they need, and nothing that is declared is idle."""

from __future__ import annotations

import pytest

from replant.flows import stages
from replant.flows.making import Making
from replant.flows.stages import HOLDS, STAGES, WORDS
from replant.resources import order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from replant.resources.order import Given

FIELDS = ("uses", "spoils")


def relation(declared: Mapping[str, Given]) -> set[tuple[str, str]]:
    """Which stage waits for which, directly."""
    found = order.arranged(declared, HOLDS, frozenset())
    return {(name, other) for name in found.leader for _, other, _ in found.waits(name)}


def declared_words() -> Iterator[tuple[str, str, str]]:
    for name, stage in STAGES.items():
        for field in FIELDS:
            yield from ((name, field, word) for word in getattr(stage, field.upper()))


@pytest.mark.parametrize(("name", "field", "word"), list(declared_words()))
def test_every_word_keeps_stages_in_order(name: str, field: str, word: str) -> None:
    words = {f: tuple(w for w in getattr(STAGES[name], f.upper()) if (f, w) != (field, word)) for f in FIELDS}
    less = order.Given(gives=STAGES[name].GIVES, uses=words["uses"], spoils=words["spoils"])
    assert relation({**STAGES, name: less}) < relation(STAGES)


def test_words_are_explained_and_used() -> None:
    stages_of = {word: [s for s in STAGES.values() if word in s.GIVES] for word in WORDS}
    assert all(len(givers) == (word not in HOLDS) for word, givers in stages_of.items())
    assert {word for s in STAGES.values() for word in s.USES} == WORDS.keys()


def test_each_stage_is_done() -> None:
    assert set(stages.sequence()) == STAGES.keys()
    assert all(hasattr(Making, f"_{name.replace(' ', '_')}") for name in STAGES)
