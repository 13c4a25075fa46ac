"""Which pages need not be saved again: those that are what they were, and that an earlier dump has."""

from __future__ import annotations

from array import array
from struct import iter_unpack

from replant.model.invariants import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from replant.pages.scan import Scan

    Row = tuple[int, int, int]

_END = (1 << 64, 1, 0)


def settle(found: Scan, known: bytes) -> None:
    """Sort the ``clean`` runs of a scan: into ``kept`` what ``known`` (`Mm.runs`) has, the rest into ``runs``."""
    missing = array("Q")
    rows = _contents(known)
    start, length, place = next(rows)
    for first, size in zip(found.clean[0::2], found.clean[1::2], strict=True):
        at, end = first, first + size
        while at < end:
            while start + length <= at:
                start, length, place = next(rows)
            upto = min(end, start if at < start else start + length)
            if at < start:
                missing.extend((at, upto - at))
            else:
                found.kept.extend((at, upto - at, place + at - start))
            at = upto
    found.clean = array("Q")
    if missing:
        found.runs = _sorted(found.runs, missing)


def _contents(known: bytes) -> Iterator[Row]:
    """The rows that have contents, and one behind all addresses."""
    for row in iter_unpack("<QQQ", known):
        if row[2] != GUARD:
            yield row
    yield _END


def _sorted(some: array[int], others: array[int]) -> array[int]:
    pairs = [*zip(some[0::2], some[1::2], strict=True), *zip(others[0::2], others[1::2], strict=True)]
    return array("Q", [n for pair in sorted(pairs) for n in pair])
