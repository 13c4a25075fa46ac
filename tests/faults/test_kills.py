"""`kill -9` of a dump or of a restore, at any moment: the tree is alive and right, or whole, or not there at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.killing import kill_dumps, kill_restores
from faults.support import family
from live.command import replant_json
from live.roundtrip import unchanged

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(600)]
KILLS = 60  # bench/kills.py does it ten times as often


def test_a_killed_dump_harms_nobody(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with family(tmp_path) as program:
        assert kill_dumps(program, image, KILLS) > KILLS // 10
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        assert sorted(p.name for p in tmp_path.glob("image*")) == ["image"]
        replant_json("restore", image, "--detach")
        unchanged(image, program.root)
        program.ask()


def test_a_killed_restore_leaves_all_or_nothing(tmp_path: Path) -> None:
    assert 0 < kill_restores(tmp_path, KILLS) < KILLS
