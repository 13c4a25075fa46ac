"""Rows of older versions of a kind become rows of today's.

A kind module has ``VERSION`` and, once that is above 1, ``UPGRADES``: a dict from an old version to a function that is
given a row of it (a list of the fields as they stand in the image) and answers with the row of the next version. A new
``bytes`` field is given as bytes; an old one is passed on untouched.
"""

from __future__ import annotations

import sys

from replant.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from replant.model.frozen import Frozen


def version(state: type[Frozen]) -> int:
    """The version of the kind whose State this is: the VERSION of the module it was written in."""
    return int(getattr(sys.modules[state.__module__], "VERSION", 1))


def upgrade(state: type[Frozen], name: str, old: int, rows: list[Any]) -> list[Any]:
    """The rows of kind ``name``, written by version ``old``, as of today.

    :raises ImageError: the image is newer, there is no way from ``old``, or a row is not what an upgrade expects.
    """
    today = version(state)
    if old > today:
        raise ImageError(
            f"the image has version {old} of kind {name}, this replant knows versions up to {today}",
            code="image-version",
            resource=name,
            hint="restore it with the version of replant that wrote it, or a newer one",
        )
    for number in range(old, today):
        rows = _step(state, name, number, rows)
    return rows


def _step(state: type[Frozen], name: str, number: int, rows: list[Any]) -> list[Any]:
    steps: dict[int, Callable[[Any], Any]] = getattr(sys.modules[state.__module__], "UPGRADES", {})
    if number not in steps:
        raise ImageError(
            f"version {number} of kind {name} can no longer be read", code="image-version", resource=name,
            hint="restore it with an older replant and dump it again with this one",
        )  # fmt: skip
    try:
        return [steps[number](row) for row in rows]
    except Exception as e:  # an upgrade is written for rows that were valid once; these are anybody's
        raise ImageError(f"a row of kind {name} is no row of its version {number}: {e!r}", code="image-corrupt") from e
