"""Columns of integers, strings, booleans and bytes, checked as a whole; the words for what is wrong with a value."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from replant.model.tree import Extent

    Column = Callable[[Sequence[Any], "Source"], Sequence[Any]]

_LOW, _HIGH = -(1 << 63), (1 << 64) - 1
_TEXT_MAX = 1 << 16


class Reject(Exception):
    """Value number ``index`` of a column is not what it must be; ``where`` leads on from there."""

    def __init__(self, index: int, why: str, where: str = "") -> None:
        super().__init__(why)
        self.index = index
        self.why = why
        self.where = where


class Source:
    """What a decoding is fed from, and what it met: stretches of the blobs, extents of the page store."""

    __slots__ = ("blobs", "extents", "room", "used")

    def __init__(self, blobs: bytes) -> None:
        self.blobs = blobs
        self.room = len(blobs)
        self.used: list[tuple[int, int]] = []
        self.extents: list[Extent] = []

    def take(self, index: int, start: int, length: int) -> bytes:
        """A stretch of the blobs. All together cannot be longer than the blobs, so that a small image stays small."""
        if start < 0 or length < 0 or start + length > len(self.blobs):
            raise Reject(index, f"[{start}, {length}] lies outside of the {len(self.blobs)} bytes of blobs")
        self.room -= length
        if self.room < 0:
            raise Reject(index, f"[{start}, {length}] overlaps with another part of the blobs")
        self.used.append((start, start + length))
        return self.blobs[start : start + length]


def integers(values: Sequence[Any], source: Source) -> Sequence[Any]:
    """Integers that fit into 64 bits, with a sign or without."""
    if {*map(type, values)} <= {int} and (not values or (min(values) >= _LOW and max(values) <= _HIGH)):
        return values
    raise first(values, lambda v: type(v) is int and _LOW <= v <= _HIGH, "must be an integer of 64 bits")


def booleans(values: Sequence[Any], source: Source) -> Sequence[Any]:
    """True and false, and no numbers in their place."""
    if {*map(type, values)} <= {bool}:
        return values
    raise first(values, lambda v: type(v) is bool, "must be true or false")


def texts(values: Sequence[Any], source: Source) -> Sequence[Any]:
    """Strings that `os.fsencode` takes and that no C string cuts short."""
    if {*map(type, values)} <= {str}:
        joined = "".join(values)
        if joined.isascii() and "\0" not in joined and len(joined) <= _TEXT_MAX:
            return values
        if all(map(_is_text, values)):
            return values
    raise first(values, _is_text, "must be a string without NUL, of bytes that a path can have")


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or "\0" in value or len(value) > _TEXT_MAX:
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return False
    return True


def octets(values: Sequence[Any], source: Source) -> Sequence[Any]:
    """Bytes, which stand in the blobs; those that an upgrade has put there stand for themselves."""
    done = []
    for index, value in enumerate(values):
        if type(value) is bytes:
            done.append(value)
        elif type(value) is list and len(value) == 2 and type(value[0]) is type(value[1]) is int:
            done.append(source.take(index, *value))
        else:
            raise Reject(index, f"must be [offset, length] in the blobs, not {_short(value)}")
    return done


def arrays(values: Sequence[Any]) -> Sequence[Any]:
    """The values, all of them arrays. :raises Reject: one is not."""
    if {*map(type, values)} <= {list, tuple}:
        return values
    raise first(values, lambda v: type(v) in (list, tuple), "must be an array")


def rows(values: Sequence[Any], width: int) -> Sequence[Any]:
    """The values, all of them arrays of ``width`` fields. :raises Reject: one is not."""
    if {*map(len, arrays(values))} <= {width}:
        return values
    raise first(values, lambda v: len(v) == width, f"must be an array of {width} fields")


def first(values: Sequence[Any], good: Callable[[Any], bool], why: str) -> Reject:
    """The complaint about the first value that is not good."""
    index = next(i for i, v in enumerate(values) if not good(v))
    return Reject(index, f"{why}, not {_short(values[index])}")


def _short(value: object) -> str:
    """What stands there, at a length that fits a message; what is huge is not formatted at all."""
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value[:40] if isinstance(value, str) else value)
    return text if len(text) < 50 else text[:47] + "..."
