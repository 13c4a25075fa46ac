"""Memory that never rests, in every mode: each page of an image is of the instant that the image is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.command import replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, uproot

CHURN = Path(__file__).parents[1] / "programs" / "churn.c"

pytestmark = pytest.mark.isolated


@every_mode
def test_memory_that_never_rests(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([str(compiled(CHURN, tmp_path))], folder) as program:
        program.until_ready()
        for turn in range(2):
            image = tmp_path / f"image{turn}"
            uproot(program, image, mode.dump, program.ask)
            replant_json("restore", image, "--detach")
            program.ask()
