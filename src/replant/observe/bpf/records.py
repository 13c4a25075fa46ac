"""What a scan leaves in memory: rows of one size, and where in a row each value is."""

from __future__ import annotations

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from mmap import mmap

_MASK = (1 << 64) - 1
_SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8, "b": 1, "h": 2, "i": 4, "q": 8}


class Spot(Record):
    """A value in a row: offset in bytes, struct code and the shifts of a bit field."""

    at: int
    code: str
    shift: tuple[int, int]


class Records(Record):
    """``number`` rows of ``size`` bytes, one after the other: in the sink itself, so only until the next scan.

    ``spots``: where columns are in a row, or their values where they are constants.
    """

    memory: mmap
    first: int
    number: int
    size: int
    spots: Mapping[str, Spot | int]

    def column(self, name: str) -> Sequence[int]:
        """One column as a list: strided slices leave no work to Python but for bytes and bit fields."""
        spot = self.spots[name]
        if isinstance(spot, int):
            return [spot] * self.number
        at, code, (left, right) = spot
        if code[-1] == "s":
            size = int(code[:-1])
            first, memory = self.first + at, self.memory
            places = range(first, first + self.number * self.size, self.size)
            return [memory[i : i + size] for i in places]  # type: ignore[misc]
        width = _SIZES[code]
        whole = memoryview(self.memory)[self.first : self.first + self.number * self.size]
        view: memoryview[int] = whole.cast(code)  # type: ignore[call-overload]
        values = view[at // width :: self.size // width].tolist()
        return [(value << left & _MASK) >> right for value in values] if right else values


def size_of(code: str) -> int:
    """Bytes of a struct code: one letter, or ``Ns``."""
    return int(code[:-1]) if code[-1] == "s" else _SIZES[code]
