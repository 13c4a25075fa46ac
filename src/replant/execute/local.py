"""Runs a track in the restorer itself, with an undo for what outlives it (names in directories)."""

from __future__ import annotations

import os
from time import monotonic_ns

from replant.abi import libc, x86_64
from replant.abi.call import Answer, At, Out, Packed, Slot
from replant.abi.shortage import SHORTAGE
from replant.errors import Bug, ReplantError
from replant.execute import standin
from replant.execute.native import Native
from replant.journal import current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Call, Track
    from replant.execute.arena import Arena


_STEPS = "'replant log --why' with the journal of the restore shows the steps that led here"
_BATCH = 4096  # calls: the log has their records, which are in memory until then


class Restorer:
    """The restorer as an actor; ``undo`` takes back what its calls left in the world."""

    def __init__(self, arena: Arena) -> None:
        self._native = Native(arena)
        self._undo: list[tuple[Call, Track]] = []

    def run(self, track: Track) -> None:
        """Run the calls of ``track`` that have not run yet.

        :raises ReplantError: the first one that fails, with its reason.
        """
        while (first := len(track.answers)) < len(track.calls):
            call = track.calls[first]
            if isinstance(call, standin.StandIn):
                self._stand_in(call, track)
            else:
                self._batch(_plain(track.calls, first), track, first)

    def _batch(self, calls: Sequence[Call], track: Track, first: int) -> None:
        since = monotonic_ns()
        answers, records = self._native.run(calls, track, first)
        track.answers += answers
        made = [*zip(calls, answers, strict=False)]
        bad = next(((call, answer) for call, answer in made if call.failed(answer)), None)
        pid, reason = os.getpid(), (bad or made[0])[0].why
        current().batch(pid, pid, records, base=first, ns=monotonic_ns() - since, reason=reason)
        self._remember(made, track)
        if bad is not None:
            raise failed(bad[0], bad[1].ret, track.actor)

    def _stand_in(self, call: standin.StandIn, track: Track) -> None:
        answer = standin.run(call, _one)
        track.answers.append(answer)
        self._remember([*zip(call.inner.calls, call.inner.answers, strict=True)], track)
        if call.failed(answer):
            raise failed(call, answer.ret, track.actor)

    def _remember(self, made: Sequence[tuple[Call, Answer]], track: Track) -> None:
        self._undo += [(call.undo, track) for call, answer in made if call.undo is not None and answer.ret >= 0]

    def undo(self) -> None:
        """Take everything back, last first; what cannot be taken back is passed over."""
        while self._undo:
            _one(self._undo.pop()[0])


def _plain(calls: Sequence[Call], first: int) -> Sequence[Call]:
    """The next calls that the kernel alone can make; one with a wrong result is the last that is made."""
    last = first
    while last < min(len(calls), first + _BATCH) and not isinstance(calls[last], standin.StandIn):
        last += 1
        if calls[last - 1].gives is not None or calls[last - 1].fills is not None:
            break
    return calls[first:last]


def _one(call: Call) -> Answer:
    outs: list[bytearray] = []
    args: list[libc.Arg] = []
    kept: list[bytearray] = []
    for arg in call.args:
        if isinstance(arg, Slot):
            args.append(arg.track.answers[arg.index].ret)
        elif isinstance(arg, Packed):
            args.append(placed(arg, kept))
        elif isinstance(arg, Out):
            outs.append(bytearray(arg.start.ljust(arg.size, b"\0")))
            args.append(outs[-1])
        elif isinstance(arg, At):
            raise Bug(f"{x86_64.name(call.nr)} of a stand-in that looks into a process", resource=call.why)
        else:
            args.append(arg)
    return Answer(libc.syscall_raw(call.nr, *args), [bytes(o) for o in outs])


def placed(packed: Packed, kept: list[bytearray]) -> int:
    """The address of a structure with all its values; ``kept`` holds the bytes, as long as the kernel reads them."""
    data = bytearray(packed.data) or bytearray(1)
    for at, part in packed.parts.items():
        if isinstance(part, Slot):
            value, size = part.track.answers[part.index].ret, 4
        else:
            value, size = placed(part if isinstance(part, Packed) else Packed(part, {}), kept), 8
        data[at : at + size] = value.to_bytes(size, "little")
    kept.append(data)
    return libc.address(data)


def failed(call: Call, ret: int, actor: str) -> ReplantError:
    """The error that tells which call of which actor the kernel refused, and what the call was for."""
    how = f"failed: {os.strerror(-ret)}" if ret < 0 else f"gave {ret}, not {call.gives}"
    if ret >= 0 and call.fills is not None:
        how = "gave something else than that"
    return ReplantError(
        f"{call.why or 'a step of the restore'}: {x86_64.name(call.nr)} of {actor} {how}",
        code="restore-step",
        pid=int(actor) if actor.isdigit() else None,
        resource=x86_64.name(call.nr),
        hint=SHORTAGE.get(-ret, ("", _STEPS))[1],
    )
