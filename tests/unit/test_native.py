"""The restorer runs its own calls by the code that stubs run: results, failures, what comes after a failure."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out, Track
from replant.execute import native
from replant.execute.arena import Arena
from replant.execute.native import Native
from tracee.assemble import assemble

SOURCE = Path(native.__file__).with_name("native.S")


@pytest.fixture
def ours() -> Iterator[Native]:
    arena = Arena(0x2000_0000_0000, 1 << 20)
    yield Native(arena)
    arena.close()


def test_the_bytes_are_those_of_the_source() -> None:
    code, labels = assemble(SOURCE)
    assert code == native.ENTER
    assert labels["back"] == native.BACK


def test_results_and_what_is_filled(ours: Native) -> None:
    track = Track("us")
    fd = track.call(nr.pipe2, Out(8), 0)
    track.call(nr.getpid)
    track.call(nr.getcwd, Out(4096), 4096)
    answers, records = ours.run(track.calls, track, 0)
    assert len(records) == 3 * 64
    assert answers[fd.index].ret == 0 and answers[1].ret == os.getpid()
    assert answers[2].outs[0].partition(b"\0")[0] == os.fsencode(os.getcwd())
    for n in (0, 4):
        os.close(int.from_bytes(answers[0].outs[0][n : n + 4], "little"))


def test_a_result_is_an_argument(ours: Native, tmp_path: Path) -> None:
    track = Track("us")
    fd = track.call(nr.openat, -100, os.fsencode(tmp_path / "made"), os.O_CREAT | os.O_RDWR, 0o600)
    track.call(nr.write, fd, b"words", 5)
    track.call(nr.close, fd)
    answers, _ = ours.run(track.calls, track, 0)
    assert answers[-1].ret == 0, answers
    assert (tmp_path / "made").read_bytes() == b"words"


def test_nothing_runs_after_a_failure(ours: Native) -> None:
    track = Track("us")
    track.call(nr.getpid)
    track.call(nr.close, 999_999)
    track.call(nr.kill, os.getpid(), 9)
    answers, _ = ours.run(track.calls, track, 0)
    assert [answer.ret for answer in answers] == [os.getpid(), -errno.EBADF]


def test_an_error_that_may_be(ours: Native) -> None:
    track = Track("us")
    track.calls.append(Call(nr.close, 999_999, ok=(errno.EBADF,)))
    track.call(nr.getpid)
    answers, _ = ours.run(track.calls, track, 0)
    assert answers[1].ret == os.getpid()


def test_later_calls_of_a_track(ours: Native) -> None:
    """A result from an earlier batch, which has its answer, is put in as a number."""
    track = Track("us")
    first = track.call(nr.getpid)
    track.answers, *_ = ours.run(track.calls, track, 0)
    track.call(nr.kill, first, 0)
    answers, _ = ours.run(track.calls[1:], track, 1)
    assert answers[0].ret == 0
