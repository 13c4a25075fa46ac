"""The program of an ask: calls, a TRAP, and what cleans up if nobody is there to see the trap.

::

    +---------+-----+---------+-----+------+------+
    | call 0  |  …  | call n-1| TRAP| then | data |      then: cleanup calls and a JUMP to the way home,
    +---------+-----+---------+-----+------+------+      or nothing: the TRAP itself goes there
"""

from __future__ import annotations

from struct import Struct

from replant.abi.call import Call

from .batch import RECORD, CallFailed, encode
from .blob import JUMP, TRAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track

    from .batch import Encoded

ARENA = 0x2000_0000_0000  # far from where the kernel places anything, and as a rule free in every process
_ARGS = 8
_two = Struct("<QQ").pack_into


class Questions:
    """Calls to ask, encoded once for each place they are asked at; the same object can serve any number of threads.

    ``cleanup``: calls that run only if we die before the next ask of the same thread; a `Slot` of ``track`` may stand
    in them (the descriptor to close, …), with the calls of ``track`` being ``calls`` and ``cleanup`` in one.
    """

    __slots__ = ("_encoded", "calls", "cleanup", "size", "track", "why")

    def __init__(
        self, calls: Sequence[Call], cleanup: Sequence[Call] = (), track: Track | None = None, why: str = ""
    ) -> None:
        self.calls = calls
        self.why = why or (calls[0].why if calls else "")
        self.cleanup = cleanup
        self.track = track
        self._encoded: dict[int, tuple[Encoded, bytearray]] = {}
        self.size = len(self._at(ARENA)[1])

    def program(self, at: int, signal: int, home: int) -> bytearray:
        """What to write at address ``at``; the TRAP is of ``signal``, ``home`` is where the way home begins."""
        _, program = self._at(at)
        trap = RECORD * len(self.calls) + _ARGS
        if self.cleanup:
            _two(program, trap, signal, 0)
            _two(program, RECORD * (self._records() - 1) + _ARGS, home, 0)
        else:
            _two(program, trap, signal, home)
        return program

    def answers(self, at: int, program: bytes, pid: int) -> list[Answer]:
        """The answers from a program as read back. :raises CallFailed:"""
        encoded, _ = self._at(at)
        records, data = program[: RECORD * len(self.calls)], program[RECORD * self._records() :]
        answers = encoded.decode(records, data)
        failure = encoded.failure(records)
        if failure is not None:
            raise CallFailed(self.calls, answers, failure, pid)
        return answers

    def _records(self) -> int:
        return len(self.calls) + 1 + (len(self.cleanup) + 1 if self.cleanup else 0)

    def _at(self, at: int) -> tuple[Encoded, bytearray]:
        if at not in self._encoded:
            self._encoded[at] = self._encode(at)
        return self._encoded[at]

    def _encode(self, at: int) -> tuple[Encoded, bytearray]:
        after = [Call(TRAP, 0)]
        if self.cleanup:
            after += [*self.cleanup, Call(JUMP, 0)]
        encoded = encode([*self.calls, *after], at, at + RECORD * self._records(), self.track)
        encoded.calls = self.calls
        return encoded, encoded.records + encoded.data
