"""An answer in columns: those that tell records apart, and those of which many records have the same values."""

from __future__ import annotations

from _operator import add

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence


class Table:
    """``read`` gives a column that is the records' own, when it is first asked for.

    ``common``: columns of the entries, ``entry``: the number of each record's entry. ``absent``: columns that are
    MISSING from end to end.
    """

    def __init__(
        self,
        read: Callable[[str], Sequence[object]],
        common: Mapping[str, Sequence[object]] | None = None,
        entry: Sequence[int] = (),
        absent: Collection[str] = (),
    ) -> None:
        self._read = read
        self._own: dict[str, Sequence[object]] = {}
        self.common = common or {}
        self.entry = entry
        self.absent = absent

    def values(self, name: str) -> Sequence[object]:
        """All values that a column has, in the order of the records or of the entries."""
        if name in self.common:
            return self.common[name]
        if name not in self._own:
            self._own[name] = self._read(name)
        return self._own[name]

    def column(self, name: str) -> Sequence[object]:
        """A column as a value for each record."""
        values = self.values(name)
        return list(map(values.__getitem__, self.entry)) if name in self.common else values

    def rows(self, names: Sequence[str]) -> list[tuple[object, ...]]:
        """The records as tuples; common values that stand side by side are made a tuple once for each entry."""
        common = [name for name in names if name in self.common]
        first = names.index(common[0]) if common else 0
        last = first + len(common)
        if list(names[first:last]) != common or len(common) < 2:
            return self._zipped(names)
        entries = list(zip(*[self.common[name] for name in common], strict=True))
        rows = map(entries.__getitem__, self.entry)
        if first:
            rows = map(add, self._zipped(names[:first]), rows)
        if last < len(names):
            rows = map(add, rows, self._zipped(names[last:]))
        return list(rows)

    def _zipped(self, names: Sequence[str]) -> list[tuple[object, ...]]:
        return list(zip(*map(self.column, names), strict=True))
