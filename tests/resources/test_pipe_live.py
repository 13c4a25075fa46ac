"""Pipes and FIFOs of a real program, which is uprooted and replanted: see ``programs/pipes.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from live import stories
from live.roundtrip import Mode, every_mode

PROGRAM = stories.PROGRAMS / "pipes.py"
EPISODES = stories.episodes(PROGRAM)

pytestmark = pytest.mark.isolated


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short one: the path of a socket has 108 bytes (unix(7))."""
    return tmp_path_factory.mktemp("s")


@pytest.mark.parametrize("episode", EPISODES)
def test_goes_on(episode: str, tmp_path: Path) -> None:
    stories.go_on(PROGRAM, tmp_path / "tree", [episode])


@every_mode
def test_all_at_once(mode: Mode, tmp_path: Path) -> None:
    stories.go_on(PROGRAM, tmp_path / "tree", EPISODES, mode, times=2)
