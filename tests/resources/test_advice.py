"""Areas that need care: guards, droppable, sealed, growing side by side, locked for good, shared in parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from live.compile import compiled
from live.program import Program
from live.roundtrip import MODES, Mode, every_mode, give, roundtrip

PROGRAMS = Path(__file__).parents[1] / "programs"

pytestmark = pytest.mark.isolated


@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    user = MODES["unprivileged"].user or 0  # it becomes that user in every mode
    if mode.user is None:
        give(tmp_path, user)
    folder = tmp_path / "tree"
    folder.mkdir()
    os.chown(folder, user, user)
    with Program.start([str(compiled(PROGRAMS / "areas_special.c", folder))], folder) as program:
        program.until_ready()
        for _ in range(2):
            program.ask()
        roundtrip(program, program.ask, mode)
