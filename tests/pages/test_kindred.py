"""What forked processes share until one writes is shared again after a restore: page frames are the witnesses."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from pathlib import Path

import pytest

from live.program import Program
from live.roundtrip import MODES, Mode, roundtrip

HERE = Path(__file__).parent
PAGE = 4096
_FRAME, _PRESENT = (1 << 55) - 1, 1 << 63
SHARING = ("plain", "snapshot", "incremental")
OTHERS = ("new-pids", "compressed", "lazy", "unprivileged")


def frames(pid: int, start: int, size: int) -> list[int]:
    """The page frame behind each page of an area (proc_pid_pagemap(5)), 0: none, or the one of zeros, seen twice."""
    with open(f"/proc/{pid}/pagemap", "rb") as file:
        file.seek(start // PAGE * 8)
        found = [entry & _FRAME if entry & _PRESENT else 0 for entry in array("Q", file.read(size // PAGE * 8))]
    times = Counter(found)
    return [frame if times[frame] == 1 else 0 for frame in found]


def sharing(program: Program) -> list[tuple[int, ...]]:
    """For each page but the first, to which all write: by process the first that has the same frame, -1: no page."""
    lines = [map(int, line.split()) for line in (program.folder / "areas").read_text().splitlines()]
    rows = zip(*(frames(*line) for line in lines), strict=True)
    return [tuple(row.index(frame) if frame else -1 for frame in row) for row in rows][1:]


def started(tmp_path: Path) -> Program:
    folder = tmp_path / "tree"
    folder.mkdir()
    program = Program.start([sys.executable, str(HERE / "kindred.py")], folder)
    program.until_ready()
    program.ask()
    return program


@pytest.mark.isolated
@pytest.mark.parametrize("mode", [MODES[name] for name in SHARING], ids=SHARING)
def test_shared_again(mode: Mode, tmp_path: Path) -> None:
    with started(tmp_path) as program:
        before = sharing(program)
        assert (0,) * 7 in before
        assert len({*before}) > 5

        def check() -> None:
            assert sharing(program) == before
            program.ask()

        roundtrip(program, check, mode)


@pytest.mark.isolated
@pytest.mark.parametrize("mode", [MODES[name] for name in OTHERS], ids=OTHERS)
def test_all_pages_are_right(mode: Mode, tmp_path: Path) -> None:
    with started(tmp_path) as program:
        roundtrip(program, program.ask, mode)
