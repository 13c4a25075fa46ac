"""Whatever a State may hold comes back as it was; whatever else JSON can hold is refused."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from image.sample import STORE_SIZE, Empty, Point, Rich, model, resolve
from replant.errors import ImageError
from replant.image import codec, columns
from replant.model.frozen import Frozen
from replant.model.tree import Attribute, Extent, File

INTEGERS = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([0, 1, -1, -(2**63), 2**63, 2**64 - 1])
PATHS = st.binary(max_size=20).map(lambda b: b.replace(b"\0", b"/").decode("utf-8", "surrogateescape"))
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: INTEGERS,
    str: PATHS | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    Extent: st.builds(Extent, st.integers(0, 2**63), st.integers(0, STORE_SIZE // 2), st.integers(0, STORE_SIZE // 2)),
}
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """All values that a field of this type may have."""
    if annotation in SCALARS:
        return SCALARS[annotation]
    parts = getattr(annotation, "__args__", ())
    if getattr(annotation, "__origin__", None) is tuple:
        if parts[-1] is Ellipsis:
            return st.lists(values(parts[0]), max_size=4).map(tuple)
        return st.tuples(*map(values, parts))
    if parts:
        return st.none() | values(next(p for p in parts if p is not type(None)))
    return rows(annotation)


def rows(cls: type[Frozen]) -> st.SearchStrategy[Any]:
    """All instances of a State."""
    return st.tuples(*map(values, columns.field_types(cls))).map(lambda fields: cls(*fields))


@given(st.lists(rows(Rich), min_size=1, max_size=4), rows(Point), INTEGERS)
def test_every_state_comes_back(states: list[Rich], point: Point, clock: int) -> None:
    whole = model()._replace(
        clock=clock,
        files=(
            File(0, "empty", 0, clock, None, Empty()),
            File(1, "rich", 1, 0, None, states[0]),
            *[File(n, "rich", 2, 0, s.owner, s) for n, s in enumerate(states, 5)],
        ),
        attributes=(Attribute("point", 10, point), Attribute("rich", 11, states[-1])),
    )
    data, blobs = codec.encode(whole)
    found = codec.decode(data, blobs, resolve, None, (STORE_SIZE,))
    assert found == whole
    assert list(map(type, found.files[1].state)) == list(map(type, states[0]))


@given(JSON, st.binary(max_size=30))
def test_any_other_json_is_refused(value: Any, blobs: bytes) -> None:
    for whole in (value, [value] * 7, [10, 1, *[value if isinstance(value, list) else []] * 5]):
        try:
            codec.decode(json.dumps(whole).encode(), blobs, resolve, None, (STORE_SIZE,))
        except ImageError as e:
            assert str(e) and e.code.startswith("image-")
        else:
            raise AssertionError(f"{whole} was taken for a model")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    try:
        codec.decode(data, b"", resolve, None, (STORE_SIZE,))
    except ImageError:
        return
    raise AssertionError(f"{data!r} was taken for a model")
