"""Decoders of rows, derived from the annotations of a `Frozen` class, that work on whole columns.

Ten thousand mappings are decoded as eight columns of ten thousand values: the types of a column are checked by one
``set(map(type, column))``, its bounds by ``min`` and ``max``, in C. Only where something is wrong is a column looked at
value by value, to say which one.

Annotations that a State may use: ``int`` (of 64 bits, signed or not), ``str``, ``bool``, ``bytes``, another Frozen
class, ``tuple[X, ...]``, ``tuple[X, Y]``, ``X | None``. A Frozen class stands for a row: the array of its fields.
"""

from __future__ import annotations

import sys
from itertools import chain, islice, repeat

from replant.errors import Bug
from replant.image.scalars import Reject, Source, arrays, booleans, integers, octets, rows, texts
from replant.model import tree
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from replant.image.scalars import Column


def record(cls: type[Frozen]) -> Column:
    """The decoder of rows of ``cls``, made once. :raises Bug: an annotation that no image can hold."""
    if cls not in _records:
        _records[cls] = _record(cls)
    return _records[cls]


def special(cls: type[Frozen], column: Column) -> None:
    """Have rows of ``cls`` decoded by ``column`` from now on, wherever they occur."""
    _records[cls] = column


def _record(cls: type[Frozen]) -> Column:
    names = [f".{n}" for n in cls._fields]
    columns = [of_type(a) for a in field_types(cls)]

    def read(values: Sequence[Any], source: Source) -> Sequence[Any]:
        done = instances(cls, fields(names, columns, rows(values, len(names)), source), len(values))
        if cls is tree.Extent:
            source.extents += done
        return done

    return read


def fields(names: Sequence[str], columns: Sequence[Column], values: Sequence[Any], source: Source) -> list[Any]:
    """The decoded columns of rows of as many values; ``names`` are what a complaint calls them (``.pid``, ``[0]``)."""
    done = []
    for name, decode, column in zip(names, columns, zip(*values, strict=True), strict=bool(values)):
        try:
            done.append(decode(column, source))
        except Reject as e:
            raise Reject(e.index, e.why, name + e.where) from None
    return done


def instances(cls: type[Frozen], done: Sequence[Sequence[Any]], count: int) -> Sequence[Any]:
    """Columns to instances; the checks that ``cls(...)`` would repeat are left out."""
    if not done:
        return [tuple.__new__(cls, ())] * count
    return [*map(tuple.__new__, repeat(cls), zip(*done, strict=True))]


def field_types(cls: type[Frozen]) -> list[Any]:
    """The types of the fields of ``cls``, in order, evaluated where each class was written."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Frozen):
            found |= {n: _evaluate(base, n, a) for n, a in base.__annotations__.items() if n in base._fields}
    return [found[name] for name in cls._fields]


def _evaluate(base: type, name: str, text: Any) -> Any:
    if not isinstance(text, str) or text in _BY_NAME:
        return _BY_NAME.get(text, text)
    try:
        return eval(text, {**vars(tree), **vars(sys.modules[base.__module__])})
    except Exception as e:
        raise Bug(f"{base.__module__}.{base.__name__}.{name}: {text!r} cannot be evaluated: {e!r}") from e


def of_type(annotation: Any) -> Column:
    """The decoder of values of a type. :raises Bug: no image can hold such a type."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin: Any = getattr(annotation, "__origin__", None)
    parts: Any = getattr(annotation, "__args__", ())
    if origin is tuple:
        return _sequence(of_type(parts[0])) if parts[-1] is Ellipsis else _fixed([of_type(p) for p in parts])
    if len(parts) == 2 and type(None) in parts:
        return _optional(of_type(parts[0] if parts[1] is type(None) else parts[1]))
    if isinstance(annotation, type) and issubclass(annotation, Frozen) and annotation is not Frozen:
        return record(annotation)
    raise Bug(f"a State cannot have a field of type {annotation!r}")


def _sequence(inner: Column) -> Column:
    def read(values: Sequence[Any], source: Source) -> Sequence[Any]:
        flat = list(chain.from_iterable(arrays(values)))
        try:
            done = iter(inner(flat, source))
        except Reject as e:
            row, place = _unflatten(values, e.index)
            raise Reject(row, e.why, f"[{place}]{e.where}") from None
        return [tuple(islice(done, len(v))) for v in values]

    return read


def _unflatten(values: Sequence[Any], index: int) -> tuple[int, int]:
    row = 0
    while index >= len(values[row]):
        index -= len(values[row])
        row += 1
    return row, index


def _fixed(inner: list[Column]) -> Column:
    names = [f"[{i}]" for i in range(len(inner))]

    def read(values: Sequence[Any], source: Source) -> Sequence[Any]:
        done = fields(names, inner, rows(values, len(inner)), source)
        return [*zip(*done, strict=True)] if done else [()] * len(values)

    return read


def _optional(inner: Column) -> Column:
    def read(values: Sequence[Any], source: Source) -> Sequence[Any]:
        places = [i for i, v in enumerate(values) if v is not None]
        try:
            done = inner([values[i] for i in places], source)
        except Reject as e:
            raise Reject(places[e.index], e.why, e.where) from None
        result: list[Any] = [None] * len(values)
        for place, value in zip(places, done, strict=True):
            result[place] = value
        return result

    return read


_SCALARS: dict[Any, Column] = {int: integers, str: texts, bool: booleans, bytes: octets}
_BY_NAME: dict[str, Any] = {"int": int, "str": str, "bool": bool, "bytes": bytes, "tuple[int, ...]": tuple[int, ...]}
_records: dict[type[Frozen], Column] = {}
