"""Runs a track in the test's own process, as a restorer would."""

from __future__ import annotations

from replant.abi import x86_64
from replant.abi.call import Answer, Call, Out, Packed, Slot, Track
from replant.abi.libc import syscall_raw
from replant.execute import standin
from replant.execute.local import placed


def run(track: Track) -> None:
    """Run the calls that have not run yet. :raises OSError: with the name of the call that failed."""
    for call in track.calls[len(track.answers) :]:
        track.answers.append(_run(call))


def _run(call: Call) -> Answer:
    if isinstance(call, standin.StandIn):
        answer = standin.run(call, _run)
        assert answer.ret == 0, [
            (x86_64.name(c.nr), c.args, a) for c, a in zip(call.inner.calls, call.inner.answers, strict=True)
        ]
        return answer
    buffers = []
    kept: list[bytearray] = []
    args: list[int | bytes | bytearray] = []
    for arg in call.args:
        if isinstance(arg, Slot):
            args.append(arg.track.answers[arg.index].ret)
        elif isinstance(arg, Packed):
            args.append(placed(arg, kept))
        elif isinstance(arg, Out):
            buffers.append(bytearray(arg.start.ljust(arg.size, b"\0")))
            args.append(buffers[-1])
        else:
            args.append(arg)
    ret = syscall_raw(call.nr, *args)
    if ret < 0 and -ret not in call.ok:
        raise OSError(-ret, f"{x86_64.name(call.nr)}{call.args}: {call.why}")
    return Answer(ret, [bytes(b) for b in buffers])


def value(track: Track, slot: Slot | int) -> int:
    """The result that a slot stands for."""
    return slot.track.answers[slot.index].ret if isinstance(slot, Slot) else slot
