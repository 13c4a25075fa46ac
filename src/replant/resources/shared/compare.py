"""The default comparison of two States: every field that differs, in words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.model.frozen import Frozen


def fields(before: Frozen, after: Frozen, ignore: Iterable[str] = ()) -> Iterable[str]:
    """Each field that is not equal, except those to ignore."""
    for name in before._fields:
        old, new = getattr(before, name), getattr(after, name)
        if old != new and name not in ignore:
            yield f"{name}: {old!r} -> {new!r}"
