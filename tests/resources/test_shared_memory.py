"""Memory that processes share without a name, and programs that run from a memory file."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


@every_mode
@pytest.mark.parametrize("name", ["shared_anon", "memory_program"])
def test_goes_on(name: str, mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([str(compiled(HERE / f"{name}.c", folder))], folder) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, mode, times=1)
