"""Threads and processes: locks that are waited for, restartable sequences, limits, dead children go on as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


@every_mode
def test_tasks_go_on(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "program"
    folder.mkdir()
    with Program.start([str(compiled(HERE / "tasks.c", folder))], folder) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, mode)


@pytest.mark.parametrize("what", ["bound", "odd", "scheduled", "x87"])
def test_identity(what: str, tmp_path: Path) -> None:
    """Credentials of every sort; settings that only the process itself can see; policies of threads; a calculation."""
    folder = tmp_path / "program"
    folder.mkdir()
    with Program.start([str(compiled(HERE / "identity.c", folder)), what], folder) as program:
        try:
            program.until_ready()
        except AssertionError:
            if what == "scheduled":
                pytest.skip("there is no room for a deadline here")
            raise
        program.ask()
        roundtrip(program, program.ask)
