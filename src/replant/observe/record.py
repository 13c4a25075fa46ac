"""Records: tuples with names, cheap to import and cheap to make.

``collections.namedtuple`` compiles a class from text and ``typing`` takes milliseconds to import; ten thousand
mappings are read in fifteen. A record class costs what a class costs, and ``_make`` is ``tuple.__new__`` itself.
For a type checker a record is a ``typing.NamedTuple``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as Record
else:
    from _collections import _tuplegetter

    class _Meta(type):
        def __new__(mcs, name, bases, namespace):
            fields = tuple(namespace.get("__annotations__", ()))
            declared = {field: namespace.pop(field) for field in fields if field in namespace}
            for index, field in enumerate(fields):
                namespace[field] = _tuplegetter(index, str(declared.get(field, "")))
            namespace.update(__slots__=(), _fields=fields, _declared=declared)
            return super().__new__(mcs, name, bases, namespace)

    class Record(tuple, metaclass=_Meta):
        """A tuple whose items have the names that the class annotates, in that order."""

        _make = classmethod(tuple.__new__)

        def __new__(cls, *values):
            """All values in the order of the fields; ``_make`` takes them as one iterable, unchecked."""
            if len(values) != len(cls._fields):
                raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, not {len(values)}")
            return tuple.__new__(cls, values)

        def __repr__(self):
            inside = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({inside})"

        def __getnewargs__(self):
            return tuple(self)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **changes):
            return type(self)._make([changes.get(name, old) for name, old in zip(self._fields, self, strict=True)])


__all__ = ["Record"]
