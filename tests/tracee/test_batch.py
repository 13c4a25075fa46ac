from __future__ import annotations

import pytest

from replant.abi import x86_64 as nr
from replant.abi.call import Answer, Call, Out, Slot, Track
from replant.errors import Bug
from replant.tracee import blob
from replant.tracee.batch import RECORD, CallFailed, encode


def words(batch, index: int) -> tuple[int, ...]:
    record = bytes(batch.records[index * RECORD : (index + 1) * RECORD])
    return tuple(int.from_bytes(record[at : at + 8], "little") for at in range(8, 56, 8))


def test_negative_numbers_are_two_complement() -> None:
    assert words(encode([Call(nr.close, -1)], 0x1000, 0x2000), 0)[0] == (1 << 64) - 1


def test_data_is_aligned_and_ends_with_nul() -> None:
    batch = encode([Call(nr.openat, -100, b"12345678", Out(3, b"x"), 7)], 0x1000, 0x2000)
    assert words(batch, 0)[1:4] == (0x2000, 0x2010, 7)
    assert bytes(batch.data) == b"12345678" + bytes(8) + b"x" + bytes(7)


def test_slot_of_another_track_is_its_value() -> None:
    other, mine = Track("restorer"), Track("10")
    there = other.call(nr.openat)
    mine.call(nr.dup, there)
    with pytest.raises(Bug, match=r"dup needs \$restorer.0"):
        encode(mine.calls, 0x1000, 0x2000, mine)
    other.answers.append(Answer(77))
    assert words(encode(mine.calls, 0x1000, 0x2000, mine), 0)[0] == 77


def test_slot_before_this_part_of_the_track_is_its_value() -> None:
    track = Track("10")
    first = track.call(nr.openat)
    second = track.call(nr.dup, first)
    track.call(nr.dup2, first, second)
    track.answers.append(Answer(5))
    batch = encode(track.calls[1:], 0x1000, 0x2000, track, first=1)
    assert words(batch, 0)[0] == 5
    assert words(batch, 1)[:2] == (5, 0x1000 + 56)
    assert batch.records[RECORD + 4] == blob.LOAD << 1


def test_slot_of_a_later_call_is_refused() -> None:
    track = Track("10")
    track.call(nr.close, Slot(track, 1))
    track.call(nr.getpid)
    with pytest.raises(Bug):
        encode(track.calls, 0x1000, 0x2000, track)


def test_failure_says_what_and_why() -> None:
    call = Call(nr.mmap, why="heap")
    error = CallFailed([call], [Answer(-12)], 0, 10)
    assert str(error) == "mmap (heap) failed inside task 10: Cannot allocate memory"
