"""Threads that are like one that has been asked: what is known of that one holds for them.

A visit to the inside of a thread costs some 150 µs, and there may be thousands. Where BPF has told the fields by which
kinds tell threads apart (`LIKE` of the protocol), those that agree in all of them are asked once; what is a matter of
each (registers, pending signals, …) is read of each as ever. A kind that has something to ask and names no fields keeps
all threads from being alike, and a thread of which a field is not known is like no other.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from replant.model.frozen import Frozen
    from replant.model.tree import Attribute
    from replant.resources.protocol import TaskKind

    Told = Callable[[int, Sequence[str]], tuple[object, ...] | None]


class Alike:
    """What is known of the threads of a process, by the values of `fields`."""

    def __init__(self, kinds: Mapping[str, TaskKind]) -> None:
        """``kinds``: those that every thread has."""
        by_kind: dict[str, tuple[str, ...]] = {name: kind.LIKE for name, kind in kinds.items() if hasattr(kind, "LIKE")}
        self._told: dict[str, Any] = {name: kind for name, kind in kinds.items() if hasattr(kind, "TOLD")}
        self._names = by_kind.keys()
        fields = {field for names in by_kind.values() for field in names}
        mute = any(kind.ASKS for name, kind in kinds.items() if name not in by_kind and name not in self._told)
        self.fields: tuple[str, ...] = () if mute else tuple(sorted(fields))
        self._known: dict[tuple[object, ...], dict[str, Frozen | None]] = {}

    @property
    def all_fields(self) -> tuple[str, ...]:
        """With those that are a matter of each thread."""
        return (*self.fields, *[kind.TOLD for kind in self._told.values()]) if self.fields else ()

    def states(self, pid: int, tid: int, told: Told) -> dict[str, Frozen | None] | None:
        """The States by kind of a thread that need not be asked; a kind that is not among them has to be read."""
        key = self._key(pid, tid, told)
        if key not in self._known:
            return None
        own = {name: kind.told(*(told(tid, (kind.TOLD,)) or ())) for name, kind in self._told.items()}
        return {**self._known[key], **own}

    def remember(self, pid: int, tid: int, told: Told, attributes: Iterable[Attribute]) -> None:
        """What asking a thread has brought, nothing having been refused."""
        key = self._key(pid, tid, told)
        if key:
            found = {a.kind: a.state for a in attributes}
            self._known[key] = {name: found.get(name) for name in self._names}

    def are(self, pid: int, tid: int, other: int, told: Told) -> bool:
        """Whether two threads of a process are alike, or the second like one that is known."""
        key = self._key(pid, other, told)
        return key in self._known or (key != () and key == self._key(pid, tid, told))

    def _key(self, pid: int, tid: int, told: Told) -> tuple[object, ...]:
        values = told(tid, self.all_fields) if self.fields else None
        return (pid, *values[: len(self.fields)]) if values else ()
