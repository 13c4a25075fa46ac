"""Calls as records for the blob, and what came back as answers: no allocation a call, the hot path of both ways.

``ret`` of a record that has not run is `blob.NOT_RUN`, so that one look at the last one tells whether all have.
"""

from __future__ import annotations

import os
from struct import Struct, error

from replant.abi import x86_64
from replant.abi.call import Answer, At, Out, Packed, Slot
from replant.errors import Bug, ReplantError

from .blob import ERROR_OK, LOAD, NOT_RUN, TRAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Call, Track

RECORD = 64
RET = 56

_BLANK = bytes(RET) + NOT_RUN.to_bytes(8, "little", signed=True)
_PACK = tuple(Struct(f"<II{n}q").pack_into for n in range(7))
_PACK_UNSIGNED = tuple(Struct(f"<II{n}Q").pack_into for n in range(7))
_U64 = (1 << 64) - 1


class CallFailed(ReplantError):
    """A call inside a task failed: ``index`` in its batch, ``errno``, and ``answers`` of all that ran, it included."""

    def __init__(self, calls: Sequence[Call], answers: Sequence[Answer], index: int, pid: int | None = None) -> None:
        call, number = calls[index], -answers[index].ret
        reason = f" ({call.why})" if call.why else ""
        super().__init__(
            f"{x86_64.name(call.nr)}{reason} failed inside task {pid}: {os.strerror(number)}",
            code="call-failed",
            pid=pid,
            resource=x86_64.name(call.nr),
        )
        self.index = index
        self.errno = number
        self.answers = answers


class Encoded:
    """A batch ready to be written: ``records`` (64 bytes each) and ``data``, for the addresses it was encoded for."""

    __slots__ = ("calls", "data", "data_at", "outs", "records", "records_at")

    def __init__(self, calls: Sequence[Call], records_at: int, data_at: int) -> None:
        self.calls = calls
        self.records_at = records_at
        self.data_at = data_at
        self.records = bytearray(_BLANK) * len(calls)
        self.data = bytearray()
        self.outs: list[tuple[int, int, int]] = []  # (index of the call, start and end in data)

    def returns(self, records: bytes | bytearray | memoryview) -> list[int]:
        """``ret`` of every call, `NOT_RUN` for those that did not; ``records`` as read back."""
        return memoryview(records)[: RECORD * len(self.calls)].cast("q")[7::8].tolist()

    def decode(self, records: bytes | bytearray | memoryview, data: bytes | bytearray | memoryview) -> list[Answer]:
        """The answers of the calls that ran, from both areas as read back; fewer than the calls: one failed."""
        rets = self.returns(records)
        if rets and rets[-1] == NOT_RUN:
            del rets[rets.index(NOT_RUN) :]
        outs: list[tuple[bytes, ...]] = [()] * len(self.calls)
        data = bytes(data)
        for index, start, end in self.outs:
            if index < len(outs):
                outs[index] += (data[start:end],)
        return list(map(Answer, rets, outs))

    def failure(self, records: bytes | bytearray | memoryview) -> int | None:
        """The index of the first call whose error is not in its ``ok``, None if there is none."""
        rets = self.returns(records)
        if not rets or min(rets) >= 0:
            return None
        for index, ret in enumerate(rets):
            if -4096 < ret < 0 and -ret not in self.calls[index].ok:
                return index
        return None


def encode(
    calls: Sequence[Call], records_at: int, data_at: int, track: Track | None = None, first: int = 0, trap: int = -1
) -> Encoded:
    """Records for ``calls``, to stand at ``records_at``, with their data at ``data_at`` (both multiples of 8).

    ``track``: the track whose calls these are, from number ``first`` on; needless where ``calls`` is ``track.calls``.
    A `Slot` of it that is in this batch is loaded by the blob; any other must have been answered. Every ``bytes``
    argument is followed by a NUL. A call with ``ok`` never stops the batch, whatever its error: `Encoded.failure`
    tells. ``trap``: a signal, for one more record at the end, a TRAP.

    :raises Bug: a slot without an answer, an argument that is no argument.
    """
    batch = Encoded(calls, records_at, data_at)
    records = batch.records
    at = 0
    for call in calls:
        args = call.args
        flags = ERROR_OK if call.ok else 0
        try:
            _PACK[len(args)](records, at, call.nr, flags, *args)
        except error:
            _pack_slowly(batch, at, call, flags, track, first)
        at += RECORD
    if trap >= 0:
        records += _BLANK
        _PACK[1](records, at, TRAP, 0, trap)
    return batch


def _pack_slowly(batch: Encoded, at: int, call: Call, flags: int, track: Track | None, first: int) -> None:
    """A record with an argument that is not simply a number below 2**63."""
    values = []
    for number, arg in enumerate(call.args):
        if isinstance(arg, int):
            values.append(arg & _U64)
        elif isinstance(arg, Slot):
            if (arg.track is track or arg.track.calls is batch.calls) and 0 <= arg.index - first < at // RECORD:
                values.append(batch.records_at + (arg.index - first) * RECORD + RET)
                flags |= LOAD << number
            else:
                values.append(_known(arg, call) & _U64)
        elif isinstance(arg, At):
            values.append(arg.address)
            flags |= LOAD << number
        elif isinstance(arg, Packed):
            values.append(_place(batch, at // RECORD, _filled(batch, at // RECORD, arg, call)))
        else:
            values.append(_place(batch, at // RECORD, arg))
    _PACK_UNSIGNED[len(values)](batch.records, at, call.nr, flags, *values)


def _place(batch: Encoded, index: int, arg: bytes | Out) -> int:
    """Put an argument that the kernel reads or fills into the data; its address."""
    data = batch.data
    start = len(data)
    if isinstance(arg, Out):
        batch.outs.append((index, start, start + arg.size))
        data += arg.start
        data += bytes((start + arg.size + 7 & ~7) - len(data))
    else:
        data += arg
        data += bytes(8 - len(data) % 8)
    return batch.data_at + start


def _filled(batch: Encoded, index: int, packed: Packed, call: Call) -> bytes:
    """The bytes of a structure, with what they point to put into the data before."""
    filled = bytearray(packed.data)
    for at, part in packed.parts.items():
        if isinstance(part, Slot):
            filled[at : at + 4] = _known(part, call).to_bytes(4, "little")
        else:
            inner = _filled(batch, index, part, call) if isinstance(part, Packed) else part
            filled[at : at + 8] = _place(batch, index, inner).to_bytes(8, "little")
    return bytes(filled)


def _known(slot: Slot, call: Call) -> int:
    answers = slot.track.answers
    if slot.index >= len(answers):
        raise Bug(f"{x86_64.name(call.nr)} needs {slot!r}, which has no answer yet", resource=call.why)
    return answers[slot.index].ret
