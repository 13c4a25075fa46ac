"""Contexts of asynchronous IO in a real program: one with events to be fetched, one that went around, an unused one."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip

HERE = Path(__file__).parent


@pytest.mark.isolated
@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([str(compiled(HERE / "aio_contexts.c", folder))], folder) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, mode)
