"""Unix sockets of a real program, which is uprooted and replanted: see ``programs/unix_sockets.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from live import stories
from live.roundtrip import Mode, every_mode

PROGRAM = stories.PROGRAMS / "unix_sockets.py"
EPISODES = stories.episodes(PROGRAM)
PRIVILEGED = ("pairs_and_connections", "credentials_of_peers", "credentials_in_messages", "covered_names")

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
    names = [name for name in EPISODES if mode.user is None or name not in PRIVILEGED]
    if "--new-pids" in mode.restore:
        names.remove("covered_names")  # there it would mount in a namespace of its own, which is refused
    stories.go_on(PROGRAM, tmp_path / "tree", names, mode, times=2)
