"""What a field is: a fact about a kernel object, declared once, with every way to get it.

A class of facts is a :class:`~replant.observe.record.Record` whose annotations are given a :func:`field`. From this
one declaration come the BPF program, the procfs reader, the comparison of the two, ``--json`` and the table in the
documentation.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from .record import Record

    Decode = Callable[..., Iterable[object]]


class Missing:
    """The only value of its kind: this source, on this kernel, for this caller, cannot tell. Never 0, never None."""

    _one: Missing | None = None

    def __new__(cls) -> Missing:
        """Always the same object, after pickling too."""
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"

    def __getattr__(self, name: str) -> Missing:
        # what is inside something that cannot be had cannot be had either
        if name.startswith("__"):
            raise AttributeError(name)
        return self


MISSING = Missing()


class Field:
    """One fact.

    ``kernel``: chains of kernel expressions, see :mod:`replant.observe.bpf.plan`. ``decode`` makes values of their
    columns, see :mod:`.decode`; without it one chain is the value itself, several are a tuple. ``procfs``: attribute
    path in :mod:`.procfs_source`. Either may be empty. ``thread``: may differ between the threads of a process.
    ``moving``: changes even in a stopped task, or one source has it approximately: not to be compared. ``common``: many
    records have the same few values. ``since``: the Linux version whose /proc tells it first, or, for what /proc does
    not tell, that has first the call which sets or compares it; empty where the manual names none.
    """

    __slots__ = ("common", "decode", "kernel", "meaning", "moving", "procfs", "since", "thread", "unit")

    def __init__(
        self,
        meaning: str,
        kernel: str | tuple[str, ...] = (),
        procfs: str = "",
        decode: Decode | None = None,
        *,
        unit: str = "",
        since: str = "",
        thread: bool = False,
        moving: bool = False,
        common: bool = False,
    ) -> None:
        self.meaning = meaning
        self.kernel = (kernel,) if isinstance(kernel, str) else kernel
        self.procfs = procfs
        self.decode = decode
        self.unit = unit
        self.since = since
        self.thread = thread
        self.moving = moving
        self.common = common

    def __str__(self) -> str:
        return f"{self.meaning}{f' [{self.unit}]' if self.unit else ''}"


def field(*words: Any, **more: Any) -> Any:
    """A :class:`Field`, untyped, as the default that a type checker sees must fit every annotation."""
    return Field(*words, **more)


def fields_of(facts: type[Record]) -> dict[str, Field]:
    """The declarations of a class of facts by name, in order."""
    declared: dict[str, Field] = facts._declared  # type: ignore[attr-defined]
    return declared


def moving(facts: type[Record]) -> Sequence[str]:
    """Names of the fields that two readings may disagree about."""
    return [name for name, f in fields_of(facts).items() if f.moving]
