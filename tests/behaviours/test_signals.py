"""Section 3: signals, by programs that check themselves; the rest of it stands with the kinds of tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from behaviours.keeping import kept

pytestmark = pytest.mark.isolated


def test_owners_of_io_signals(tmp_path: Path) -> None:
    kept(tmp_path, "signals.owners", "signals.owner_without_async", "signals.owner_of_a_pipe_in_a_child")


def test_masks_of_waiting_calls(tmp_path: Path) -> None:
    kept(tmp_path, "signals.masks_of_waiting_calls")
