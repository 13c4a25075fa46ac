"""Programs with pseudo-terminals are uprooted and replanted: numbers, settings, data, sessions, as they were."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from live.program import Program
from live.roundtrip import roundtrip

SORTS = [
    "settings", "unread", "lines", "literal", "full", "stopped", "slaves", "instances", "unopened", "hung_up",
    "controlling", "gone", "leaderless",
]  # fmt: skip

#: what a process in Python moves by itself as it goes on
MOVING = ("anon", "mapping")

pytestmark = pytest.mark.isolated


def goes_on(folder: Path, sorts: list[str], times: int) -> None:
    folder.mkdir()
    here = Path(__file__).parent
    paths = f"{here.parent / 'programs'}:{here.parents[1] / 'src'}"
    argv = [sys.executable, str(here / "terminals.py"), *sorts]
    with Program.start(argv, folder, {"PYTHONPATH": paths}) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, times=times, moving=MOVING)


@pytest.mark.parametrize("sort", SORTS)
def test_goes_on(sort: str, tmp_path: Path) -> None:
    goes_on(tmp_path / "tree", [sort], times=1)


def test_all_at_once(tmp_path: Path) -> None:
    goes_on(tmp_path / "tree", SORTS, times=2)
