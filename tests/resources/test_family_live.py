"""Parents and children, alive, stopped and dead, are to each other as they were before they were uprooted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from live.program import Program
from live.roundtrip import roundtrip

SORTS = ["stopped", "told", "pending_stops", "dead", "exit_signals", "orphans", "identity", "clocks"]

#: what a process in Python moves by itself as it goes on
MOVING = ("anon", "mapping", "pending")

pytestmark = pytest.mark.isolated


@pytest.mark.parametrize("sort", SORTS)
def test_goes_on(sort: str, tmp_path: Path) -> None:
    here, folder = Path(__file__).parent, tmp_path / "tree"
    folder.mkdir()
    paths = f"{here.parent / 'programs'}:{here.parents[1] / 'src'}"
    argv = [sys.executable, str(here / "family.py"), sort]
    with Program.start(argv, folder, {"PYTHONPATH": paths}) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, moving=MOVING)
