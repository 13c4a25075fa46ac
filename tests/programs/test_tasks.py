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
