"""Pipes and FIFOs of a real program, which is uprooted and replanted: see ``programs/pipes.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from live import stories
from live.roundtrip import Mode, every_mode

PROGRAM = stories.PROGRAMS / "pipes.py"
EPISODES = stories.episodes(PROGRAM)

pytestmark = pytest.mark.isolated


@pytest.mark.parametrize("episode", EPISODES)
def test_goes_on(episode: str, tmp_path: Path) -> None:
    stories.go_on(PROGRAM, tmp_path / "tree", [episode])


@every_mode
def test_all_at_once(mode: Mode, tmp_path: Path) -> None:
    stories.go_on(PROGRAM, tmp_path / "tree", EPISODES, mode, times=2)
