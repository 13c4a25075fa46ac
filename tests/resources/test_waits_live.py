"""Waits that are caught in the middle end when the original time is up: neither at once nor after all of it again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from live import wait
from live.command import replant_json
from live.compile import compiled
from live.program import Program

pytestmark = pytest.mark.isolated


@pytest.mark.parametrize("lazily", [(), ("--lazy",)], ids=["whole", "lazy"])
def test_waits_end_in_time(tmp_path: Path, lazily: tuple[str, ...]) -> None:
    """Uprooted twice: then what was in the kernel is a call that had been restarted already."""
    program_file = compiled(Path(__file__).with_name("waits.c"), tmp_path)
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([str(program_file)], folder) as program:
        program.until_ready()
        for turn in range(2):
            replant_json("dump", program.root, "-o", tmp_path / f"image{turn}", "--kill")
            program.reap()
            replant_json("restore", tmp_path / f"image{turn}", "--detach", *lazily)
        assert wait.file_appears(folder / "verdict", program.root) == "ok"
        os.kill(program.root, 0)
