"""Mappings of files: one file stays one file, private changes stay private, and writing reaches the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip

PROGRAMS = Path(__file__).parents[1] / "programs"

pytestmark = pytest.mark.isolated


@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([str(compiled(PROGRAMS / "areas_file.c", folder))], folder) as program:
        program.until_ready()
        for _ in range(2):
            program.ask()
        roundtrip(program, program.ask, mode)
