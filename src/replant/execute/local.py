"""Runs a track in the restorer itself, with an undo for what outlives it (names in directories)."""

from __future__ import annotations

import os

from replant.abi import libc, x86_64
from replant.abi.call import Answer, Out, Slot
from replant.errors import ReplantError
from replant.execute import standin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Call, Track


class Restorer:
    """The restorer as an actor; ``undo`` takes back what its calls left in the world."""

    def __init__(self) -> None:
        self._undo: list[tuple[Call, Track]] = []

    def run(self, track: Track) -> None:
        """Run the calls of ``track`` that have not run yet.

        :raises ReplantError: the first one that fails, with its reason.
        """
        for call in track.calls[len(track.answers) :]:
            answer = standin.run(call, _one) if isinstance(call, standin.StandIn) else _one(call)
            track.answers.append(answer)
            if answer.ret < 0 and -answer.ret not in call.ok:
                raise failed(call, answer.ret, track.actor)
            if call.undo is not None:
                self._undo.append((call.undo, track))

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


def failed(call: Call, ret: int, actor: str) -> ReplantError:
    """The error that tells which call of which actor the kernel refused, and what the call was for."""
    return ReplantError(
        f"{call.why or 'a step of the restore'}: {x86_64.name(call.nr)} of {actor} failed: {os.strerror(-ret)}",
        code="restore-step",
        pid=int(actor) if actor.isdigit() else None,
        resource=x86_64.name(call.nr),
        hint="`replant log IMAGE --why` shows the steps that led here",
    )
