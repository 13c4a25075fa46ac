"""A system call as data: what a batch runs inside a tracee, what a restore program is made of.

An argument is an integer, ``bytes`` that the kernel reads, an `Out` that it fills, a `Slot`: the result of an earlier
call, or a `Packed`: bytes with such results, or addresses of further bytes, in them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Out:
    """Room of ``size`` bytes that the kernel fills; ``start`` is what stands there before the call."""

    __slots__ = ("size", "start")

    def __init__(self, size: int, start: bytes = b"") -> None:
        self.size = size
        self.start = start

    def __repr__(self) -> str:
        return f"Out({self.size})"


class Slot:
    """The result of call number ``index`` of a `Track`, not known before the call has run."""

    __slots__ = ("index", "track")

    def __init__(self, track: Track, index: int) -> None:
        self.track = track
        self.index = index

    def __repr__(self) -> str:
        return f"${self.track.actor}.{self.index}"


class Packed:
    """Bytes that the kernel reads, in which some values are known only when the call runs.

    ``parts`` has them by offset: of a `Slot` the result (4 bytes), of ``bytes`` or another `Packed` the address (8).
    A result must be of an earlier batch: it is put in when the structure is made.
    """

    __slots__ = ("data", "parts")

    def __init__(self, data: bytes, parts: Mapping[int, Slot | bytes | Packed]) -> None:
        self.data = data
        self.parts = parts

    def __repr__(self) -> str:
        return f"Packed({len(self.data)})"


class At:
    """The 8 bytes that will stand at an address of the actor's when the call is made; for stubs only."""

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address

    def __repr__(self) -> str:
        return f"*{self.address:#x}"


Arg = int | bytes | At | Out | Packed | Slot


class Call:
    """One system call: ``nr``, up to six ``args``, the reason it is there, and error numbers that are no failure.

    ``gives``: the only result that is right, where the kernel could give another one; ``fills``: what its first `Out`
    is to hold afterwards. Looked at in the restorer.
    """

    __slots__ = ("args", "fills", "gives", "nr", "ok", "undo", "why")

    def __init__(self, nr: int, *args: Arg, why: str = "", ok: Sequence[int] = (), gives: int | None = None) -> None:
        self.nr = nr
        self.args = args
        self.why = why
        self.ok = ok
        self.gives = gives
        self.fills: bytes | None = None
        self.undo: Call | None = None

    def failed(self, answer: Answer) -> bool:
        """Whether it is an error that matters, or not the result that was wanted."""
        ret = answer.ret
        if self.fills is not None and ret >= 0:
            return answer.outs[0] != self.fills
        if self.gives is not None and ret >= 0:
            return ret != self.gives
        return ret < 0 and -ret not in self.ok


class Answer:
    """What a call gave: ``ret`` (minus the error number on failure) and the bytes of each `Out`, in order."""

    __slots__ = ("outs", "ret")

    def __init__(self, ret: int, outs: Sequence[bytes] = ()) -> None:
        self.ret = ret
        self.outs = outs

    def __repr__(self) -> str:
        return f"Answer({self.ret}, {list(self.outs)})"


class Track:
    """The calls of one actor, in order: a process, a thread, or the restorer itself."""

    __slots__ = ("actor", "answers", "calls")

    def __init__(self, actor: str) -> None:
        self.actor = actor
        self.calls: list[Call] = []
        self.answers: list[Answer] = []

    def call(self, nr: int, *args: Arg, why: str = "", ok: Sequence[int] = (), gives: int | None = None) -> Slot:
        """Append a call; its result can be an argument of later ones. ``ok``: errors to pass over."""
        self.calls.append(Call(nr, *args, why=why, ok=ok, gives=gives))
        return Slot(self, len(self.calls) - 1)

    def expect(self, slot: Slot, fills: bytes) -> None:
        """Say what the first `Out` of an earlier call is to hold."""
        self.calls[slot.index].fills = fills

    def undo(self, slot: Slot, nr: int, *args: Arg) -> None:
        """Say how the effect of an earlier call outside of the actor (a name in a directory, …) is taken back."""
        self.calls[slot.index].undo = Call(nr, *args, why="undo")
