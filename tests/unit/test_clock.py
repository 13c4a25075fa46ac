"""A tree does not see its monotonic clock run backwards, unless its user lets it."""

from __future__ import annotations

import time

from replant.flows.blockers import clock_blockers
from replant.model.tree import Model
from replant.policy import Policy


def model(clock: int) -> Model:
    return Model(10, clock, (), (), (), (), ())


def test_a_clock_that_has_gone_on_is_fine() -> None:
    assert list(clock_blockers(model(time.monotonic_ns()), Policy())) == []


def test_a_clock_that_would_go_back_is_refused() -> None:
    later = model(time.monotonic_ns() + 3_600_000_000_000)
    (blocker,) = clock_blockers(later, Policy())
    assert (blocker.code, blocker.resource) == ("clock", "CLOCK_MONOTONIC") and "--clock back" in blocker.hint
    assert list(clock_blockers(later, Policy({"clock": "back"}))) == []
