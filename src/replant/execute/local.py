"""Runs a track in the restorer itself, with an undo for what outlives it (names in directories)."""

from __future__ import annotations

import os
from struct import Struct
from time import monotonic_ns

from replant.abi import libc, x86_64
from replant.abi.call import Answer, Out, Slot
from replant.abi.shortage import SHORTAGE
from replant.errors import ReplantError
from replant.execute import standin
from replant.journal import current
from replant.tracee.batch import RECORD
from replant.tracee.blob import ERROR_OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Call, Track


_PACK = Struct("<II6Qq").pack_into
_STEPS = "'replant log --why' with the journal of the restore shows the steps that led here"
_U64 = (1 << 64) - 1


class Restorer:
    """The restorer as an actor; ``undo`` takes back what its calls left in the world."""

    def __init__(self) -> None:
        self._undo: list[tuple[Call, Track]] = []

    def run(self, track: Track) -> None:
        """Run the calls of ``track`` that have not run yet.

        :raises ReplantError: the first one that fails, with its reason.
        """
        first, since = len(track.answers), monotonic_ns()
        try:
            for call in track.calls[first:]:
                self._run(call, track)
        finally:
            _record(track, first, monotonic_ns() - since)

    def _run(self, call: Call, track: Track) -> None:
        answer = standin.run(call, _one) if isinstance(call, standin.StandIn) else _one(call)
        track.answers.append(answer)
        made = [(call, answer)]
        if isinstance(call, standin.StandIn):
            made = [*zip(call.inner.calls, call.inner.answers, strict=True)]
        self._undo += [(one.undo, track) for one, given in made if one.undo is not None and given.ret >= 0]
        if call.failed(answer.ret):
            raise failed(call, answer.ret, track.actor)

    def undo(self) -> None:
        """Take everything back, last first; what cannot be taken back is passed over."""
        while self._undo:
            _one(self._undo.pop()[0])


def _one(call: Call) -> Answer:
    outs: list[bytearray] = []
    args: list[libc.Arg] = []
    for arg in call.args:
        if isinstance(arg, Slot):
            args.append(arg.track.answers[arg.index].ret)
        elif isinstance(arg, Out):
            outs.append(bytearray(arg.start.ljust(arg.size, b"\0")))
            args.append(outs[-1])
        else:
            args.append(arg)
    return Answer(libc.syscall_raw(call.nr, *args), [bytes(o) for o in outs])


def _record(track: Track, first: int, ns: int) -> None:
    """Put the calls that have been made into the journal; addresses mean nothing to a reader and are 0."""
    answers = track.answers[first:]
    if not answers:
        return
    records = bytearray(RECORD * len(answers))
    calls = track.calls[first : first + len(answers)]
    for at, call, answer in zip(range(0, len(records), RECORD), calls, answers, strict=True):
        values = [a.track.answers[a.index].ret if isinstance(a, Slot) else a for a in call.args]
        numbers = [v & _U64 if isinstance(v, int) else 0 for v in values]
        _PACK(records, at, call.nr, ERROR_OK if call.ok else 0, *numbers, *[0] * (6 - len(numbers)), answer.ret)
    current().batch(os.getpid(), os.getpid(), records, base=first, ns=ns, reason=calls[-1].why)


def failed(call: Call, ret: int, actor: str) -> ReplantError:
    """The error that tells which call of which actor the kernel refused, and what the call was for."""
    how = f"failed: {os.strerror(-ret)}" if ret < 0 else f"gave {ret}, not {call.gives}"
    return ReplantError(
        f"{call.why or 'a step of the restore'}: {x86_64.name(call.nr)} of {actor} {how}",
        code="restore-step",
        pid=int(actor) if actor.isdigit() else None,
        resource=x86_64.name(call.nr),
        hint=SHORTAGE.get(-ret, ("", _STEPS))[1],
    )
