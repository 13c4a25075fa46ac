"""Test programs in C."""

from __future__ import annotations

import subprocess
from pathlib import Path


def compiled(source: Path, folder: Path) -> Path:
    """The program of a C source, made in ``folder``; fails with the compiler's words."""
    program = folder / source.stem
    words = ["gcc", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return program
