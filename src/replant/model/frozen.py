"""Frozen: the base of every saved state: an immutable record that is its own schema.

A subclass lists its fields as annotations, as a dataclass would; instances are plain tuples underneath, so they are
compared, hashed, sorted and serialised at the speed of C, and a module full of them costs microseconds to import.
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_: object):
        """At run time the annotation for type checkers does nothing."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Frozen(tuple):  # type: ignore[type-arg]
    """An immutable record; fields are positional or named, defaults come from the class body.

    :raises TypeError: for a missing, unknown or surplus field.
    """

    __slots__ = ()
    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]]
        _defaults: ClassVar[dict[str, Any]]
    else:
        _fields = ()
        _defaults = {}

    def __init_subclass__(cls) -> None:
        names = tuple(n for n in cls.__annotations__ if not n.startswith("_"))
        cls._fields = cls._fields + names
        cls._defaults = cls._defaults | {n: cls.__dict__[n] for n in names if n in cls.__dict__}
        for index, name in enumerate(cls._fields):
            setattr(cls, name, _tuplegetter(index, ""))

    if not TYPE_CHECKING:

        def __new__(cls, *values, **named):
            """Fill the fields in order, then by name, then from the defaults."""
            if not named and len(values) == len(cls._fields):
                return tuple.__new__(cls, values)
            return tuple.__new__(cls, _complete(cls, values, named))

        def __getnewargs__(self):
            """Copy and pickle see the fields."""
            return tuple(self)

    def _replace(self, **changes: object) -> Self:
        """A copy with other values in some fields."""
        return type(self)(**{**dict(zip(self._fields, self, strict=True)), **changes})

    def __repr__(self) -> str:
        inner = ", ".join(f"{n}={v!r}" for n, v in zip(self._fields, self, strict=True))
        return f"{type(self).__module__.rpartition('.')[2]}.{type(self).__name__}({inner})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


def _complete(cls: Any, values: Any, named: Any) -> list[object]:
    fields = cls._fields
    if len(values) > len(fields) or (unknown := set(named) - set(fields[len(values) :])):
        raise TypeError(f"{cls.__name__}: surplus or unknown fields {sorted(unknown) if named else values}")
    rest = []
    for name in fields[len(values) :]:
        if name in named:
            rest.append(named[name])
        elif name in cls._defaults:
            rest.append(cls._defaults[name])
        else:
            raise TypeError(f"{cls.__name__}: field {name} is missing")
    return [*values, *rest]
