"""A tree that forks, execs and ends while it is being stopped: a dump is whole or says why not, and harms nobody."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from live.command import replant, replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import unchanged

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(120)]
DUMPS = 25
HERE = Path(__file__).parent


def storm(folder: Path) -> Program:
    program = Program.start([str(compiled(HERE / "storm.c", folder))], folder)
    program.until_ready()
    return program


def test_a_dump_is_whole_or_says_why_not(tmp_path: Path) -> None:
    with storm(tmp_path) as program:
        image, whole = tmp_path / "image", 0
        for _ in range(DUMPS):
            done = replant("dump", program.root, "-o", image, "--json")
            assert done.returncode in (0, 1), done.stderr
            whole += done.returncode == 0
            program.ask()
            assert image.exists() == (done.returncode == 0)
            shutil.rmtree(image, ignore_errors=True)
        assert whole > DUMPS // 2, "hardly any dump succeeded"


def test_what_was_dumped_goes_on(tmp_path: Path) -> None:
    with storm(tmp_path) as program:
        image = tmp_path / "image"
        report: dict[str, Any] = replant_json("dump", program.root, "-o", image, "--kill")
        assert report["tasks"] >= 4
        program.reap()
        replant_json("restore", image, "--detach", "--stop")
        unchanged(image, program.root, stopped=True, but=("pending",))
        program.kill()
        replant_json("restore", image, "--detach")
        program.ask()
