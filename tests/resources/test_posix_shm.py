"""POSIX shared memory and semaphores, named and removed, in use by three processes of which two wait."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from live.compile import compiled
from live.namespace import mount_tmpfs
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    mount_tmpfs("/dev/shm")
    os.chmod("/dev/shm", 0o1777)
    with Program.start([str(compiled(HERE / "posix_shm.c", folder))], folder) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, mode)
