"""Pages that hold nothing but zeros: anonymous memory reads so by itself, and needs none of them in the image."""

from __future__ import annotations

from array import array
from struct import iter_unpack

from replant.model.invariants import GUARD, PAGE
from replant.model.places import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from replant.model.tree import Mm, Model

    Row = tuple[int, int, int]

_ZEROS = bytes(PAGE)
_WORDS = PAGE // 8


def pages(block: memoryview, at: int) -> list[int]:
    """The offsets of the pages of zeros in a block that stands at ``at``: only those that begin so are looked at."""
    whole = block[: len(block) // PAGE * PAGE]
    firsts = whole.cast("Q")[::_WORDS].tolist()
    starts = [n * PAGE for n, word in enumerate(firsts) if not word]
    return [at + n for n in starts if block[n : n + PAGE] == _ZEROS]


def runs(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring pages as start and end."""
    start = end = -1
    for offset in offsets:
        if offset != end:
            if end > start:
                yield start, end
            start = offset
        end = offset + PAGE
    if end > start:
        yield start, end


def dropped(model: Model, offsets: Sequence[int]) -> Model:
    """The model without the pages of zeros of its anonymous memory, which stand at ``offsets`` of its store."""
    if not offsets:
        return model
    known = frozenset(offsets)
    return model._replace(mms=tuple(_dropped(mm, known) for mm in model.mms))


def _dropped(mm: Mm, known: Container[int]) -> Mm:
    spaces = iter([(vma.start, vma.end) for vma in mm.vmas if vma.kind == "anon"])
    low, high = next(spaces, (1 << 64, 1 << 64))
    kept = array("Q")
    for start, size, at in iter_unpack("<QQQ", mm.runs):
        while high <= start:
            low, high = next(spaces, (1 << 64, 1 << 64))
        plain = at == GUARD or split(at)[0] or not low <= start < high
        for row in [(start, size, at)] if plain else _without(start, size, at, known):
            kept.extend(row)
    return mm._replace(runs=kept.tobytes())


def _without(start: int, size: int, at: int, known: Container[int]) -> Iterator[Row]:
    first = 0
    for n in range(0, size, PAGE):
        if at + n in known:
            if first < n:
                yield start + first, n - first, at + first
            first = n + PAGE
    if first < size:
        yield start + first, size - first, at + first
