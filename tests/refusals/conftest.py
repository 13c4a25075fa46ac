"""The program that has things which cannot be kept, compiled once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``things NAME ...``."""
    program = tmp_path_factory.mktemp("things") / "things"
    return _compiled(program, *sorted(HERE.glob("*.c")), "-pthread")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 32-bit program, which no library is needed for."""
    program = tmp_path_factory.mktemp("small") / "small"
    return _compiled(program, HERE / "small.S", "-m32", "-nostdlib", "-static")


def _compiled(program: Path, *words: str | Path) -> Path:
    command = ["gcc", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-o", str(program), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return program
