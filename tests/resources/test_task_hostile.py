"""An image is untrusted: States of the right types with any values make calls, or are refused, and cost little."""

from __future__ import annotations

from struct import error
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replant.abi.call import Call, Out, Slot, Track
from replant.errors import ReplantError
from replant.model.frozen import Frozen
from replant.resources import registry

#: what the conductor takes for a damaged image
DAMAGED = (ReplantError, ArithmeticError, LookupError, ValueError, error)

INTEGERS = st.integers(-(2**63), 2**64 - 1) | st.integers(-2, 100)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return INTEGERS
    if annotation is str:
        return st.text(max_size=20)
    if annotation is bytes:
        return st.binary(max_size=300)
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        hints = get_type_hints(annotation)
        return st.builds(annotation, *[values(hints[name]) for name in annotation._fields])
    inner = annotation.__args__
    if inner[-1] is Ellipsis:
        return st.lists(values(inner[0]), max_size=20).map(tuple)
    return st.tuples(*map(values, inner))


class Restore:
    def place(self, data: bytes) -> int:
        return 0x10000

    def exe_fd(self, tid: int) -> int:
        return 3


@pytest.mark.parametrize("name", registry.task_kinds())
def test_any_values(name: str) -> None:
    kind: Any = registry.task_kinds()[name]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values(kind.State))
    def try_it(state: Any) -> None:
        track = Track("1")
        try:
            if hasattr(kind, "check"):
                kind.check(state, 1)
            kind.make(state, 1, track, Restore())
            if hasattr(kind, "make_outside"):
                kind.make_outside(state, 1, track, Restore())
        except DAMAGED:
            return
        assert len(track.calls) < 30_000
        assert all(type(c) is Call and len(c.args) <= 6 for c in track.calls)
        assert all(isinstance(a, int | bytes | Out | Slot) for c in track.calls for a in c.args)

    try_it()
