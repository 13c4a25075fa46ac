"""Waits that are caught in the middle end when the original time is up: neither at once nor after all of it again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from live import wait
from live.command import replant_json
from live.compile import compiled
from live.program import Program

pytestmark = pytest.mark.isolated


def test_waits_of_a_tree_that_lives_on_end_in_time(tmp_path: Path) -> None:
    """Dumped twice while it waits."""
    with Program.start([str(compiled(Path(__file__).with_name("waits.c"), tmp_path))], tmp_path) as program:
        program.until_ready()
        for turn in range(2):
            replant_json("dump", program.root, "-o", tmp_path / f"image{turn}")
        assert wait.file_appears(tmp_path / "verdict", program.root) == "ok"


def test_a_handler_returns_to_a_wait(tmp_path: Path) -> None:
    """The wait was begun again by a dump, and the handler that has interrupted it is in the next one."""
    with Program.start([str(compiled(Path(__file__).with_name("handled_wait.c"), tmp_path))], tmp_path) as program:
        program.until_ready()
        replant_json("dump", program.root, "-o", tmp_path / "image0")
        os.kill(program.root, signal.SIGUSR1)
        assert wait.file_appears(tmp_path / "handling", program.root) == "yes"
        replant_json("dump", program.root, "-o", tmp_path / "image1", "--kill")
        program.reap()
        replant_json("restore", tmp_path / "image1", "--detach")
        os.kill(program.root, signal.SIGUSR2)
        assert wait.file_appears(tmp_path / "verdict", program.root) == "ok"


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
