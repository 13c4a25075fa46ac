"""The vDSO: at the same address, this kernel's own, its clock running on."""

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
    with Program.start([str(compiled(PROGRAMS / "vdso.c", folder))], folder) as program:
        program.until_ready()
        for _ in range(2):
            program.ask()
        roundtrip(program, program.ask, mode)
